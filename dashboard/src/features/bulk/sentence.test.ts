import { describe, expect, it } from 'vitest'
import type { BulkJob } from '../../api/types'
import { filterWords, jobSentence, reasonWords } from './sentence'

function job(part: Partial<BulkJob>, counts: Partial<BulkJob['counts']> = {}): BulkJob {
  return {
    id: 'j',
    cmd: 'retry',
    filter: {},
    include: [],
    state: 'running',
    reason: null,
    waits_for: null,
    absent_agents: [],
    counts: { total: 10, waiting: 0, claimed: 0, accepted: 0, refused: 0, unknown: 0, awaited: 0, succeeded: 0, failed: 0, revoked: 0, not_ended: 0, ...counts },
    refused_by: {},
    left_out: {},
    truncated: false,
    canary: 5,
    rate_per_minute: 600,
    stop_above_percent: 50,
    created_by: 'session:1',
    created_at: '2026-11-22T18:00:00Z',
    finished_at: null,
    ...part,
  }
}

describe('the sentence of a bulk job', () => {
  it('says what it waits for', () => {
    expect(jobSentence(job({}))).toBe('Retrying, at most 600 a minute.')
    expect(jobSentence(job({ waits_for: 'canary' }))).toBe('Waiting until the first 5 retried tasks end.')
    expect(jobSentence(job({ waits_for: 'agents', absent_agents: ['w1'] }))).toContain('w1, which is not connected')
    expect(jobSentence(job({ waits_for: 'ends' }, { awaited: 1 }))).toContain('1 retried task end')
  })

  it('waits for no more tasks than there are', () => {
    expect(jobSentence(job({ waits_for: 'canary' }, { total: 2 }))).toBe('Waiting until the first 2 retried tasks end.')
  })

  it('says how it ended, and what was not sent', () => {
    expect(jobSentence(job({ state: 'finished' }, { accepted: 9 }))).toBe('Finished: 9 of 10 tasks retried.')
    expect(jobSentence(job({ state: 'finished' }, { accepted: 9, failed: 4 }))).toBe('Finished: 9 of 10 tasks retried, of which 4 failed again.')
    expect(jobSentence(job({ state: 'stopped', reason: '3 of 3 failed' }, { waiting: 7 }))).toBe('Stopped: 3 of 3 failed. 7 tasks not sent.')
  })
})

it('says which tasks were asked for', () => {
  expect(filterWords(job({ filter: { state: 'failed', q: 'name:billing.* "card declined"', since: '2h' } }))).toBe('Asked for were those with state:failed name:billing.* "card declined" since:2h.')
  expect(filterWords(job({}))).toBe('Asked for were all tasks.')
  expect(filterWords(job({ filter: { picked: 2 } }))).toBe('Asked for were 2 picked tasks.')
  expect(filterWords(job({ filter: { picked: 1 }, include: ['succeeded'] }))).toBe('Asked for was 1 picked task. Retried, too, if succeeded.')
})

it('knows the words for codes, and makes do with those of tomorrow', () => {
  expect(reasonWords('already_retried')).toBe('retried before')
  expect(reasonWords('state_started')).toBe('not over (running)')
  expect(reasonWords('state_succeeded')).toBe('succeeded')
  expect(reasonWords('code_of_tomorrow')).toBe('code of tomorrow')
})
