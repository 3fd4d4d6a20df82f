import { render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { at, AT, run, schedule } from '../../test-fixtures'
import { draftOf, fieldsOf } from './draft'
import { OutcomeStrip } from './outcome-strip'
import { explainProblem, fixedSchedulers, needsAttention, readOnlyReason, summary } from './problem-words'
import { ScheduleState } from './schedule-state'
import { isSameClock, wallClock } from './zoned'

it('shows the outcomes oldest first, and says them in one sentence', () => {
  render(<OutcomeStrip runs={[run({ due: at(120), state: 'missed', seen_at: null, evidence: null }), run({ due: at(60), state: 'late' }), run()]} />)
  const strip = screen.getByRole('img', { name: 'Last 3 runs: 1 ran, 1 late, 1 missed' })
  expect(strip.textContent).toBe('✓▲✕')
})

it('says how a run is known', () => {
  render(<OutcomeStrip runs={[run({ evidence: 'task', overlapping: true })]} />)
  expect(screen.getByTitle(/a task of its type/).title).toMatch(/the run before had not ended/)
})

it('counts every kind of outcome', () => expect(summary([run(), run(), run({ state: 'unknown' })])).toBe('2 ran, 1 not known'))

it('a paused schedule is paused, whatever was wrong', () => {
  render(<ScheduleState schedule={schedule({ enabled: false, problem: { kind: 'missed', since: AT } })} />)
  expect(screen.getByText('Paused')).toBeTruthy()
})

it('what is wrong is a word, with its reason', () => {
  const silent = schedule({ problem: { kind: 'scheduler_silent', since: AT } })
  render(<ScheduleState schedule={silent} />)
  expect(screen.getByTitle(/celery-beat has sent nothing/).textContent).toContain('Scheduler silent')
  expect(needsAttention(silent)).toBe(true)
  expect(needsAttention(schedule({ problem: { kind: 'agent_away' } }))).toBe(false)
  expect(explainProblem({ kind: 'not_understood', message: 'the crontab is not valid' }, silent)).toContain('the crontab is not valid')
  expect(explainProblem({ kind: 'not_understood', message: '"unknown" is not a kind' }, schedule({ kind: 'unknown' }))).toMatch(/in words of its own/)
})

it('says why a schedule cannot be changed', () => {
  expect(readOnlyReason(schedule({ read_only: true }))).toBe("It stands in the application's settings: change it there.")
  expect(readOnlyReason(schedule({ connected: false }))).toMatch(/No agent/)
  expect(readOnlyReason(schedule())).toBeUndefined()
})

it('a scheduler whose schedules all stand in settings takes no new ones', () => {
  const settings = schedule({ scheduler: 'beat-settings', read_only: true })
  const mixed = [schedule({ scheduler: 'own', read_only: true }), schedule({ scheduler: 'own', id: '2' })]
  expect([...fixedSchedulers([settings, { ...settings, id: '2' }, ...mixed, schedule()])]).toEqual(['beat-settings'])
})

it('the strip of a schedule that is not understood says why it is empty', () => {
  render(<OutcomeStrip runs={[]} understood={false} />)
  expect(screen.getByTitle(/when it is due is not understood/)).toBeTruthy()
})

beforeEach(() => void vi.useFakeTimers({ now: Date.parse(AT), toFake: ['Date'] }))
afterEach(() => void vi.useRealTimers())

it("shows an instant on the schedule's own clock", () => {
  expect(wallClock('2026-11-24T02:00:00Z', 'Europe/Berlin')).toBe('Tue 24 Nov 03:00')
  expect(wallClock('2026-07-24T01:00:00Z', 'Europe/Berlin')).toBe('Fri 24 Jul 03:00')
  expect(wallClock('2126-07-24T01:00:00Z', 'Europe/Berlin')).toBe('Wed 24 Jul 2126 03:00')
  expect(wallClock('2026-07-24T01:00:00Z', 'Mars/Olympus')).toBeNull()
  expect(isSameClock('2026-07-24T01:00:00Z', 'Europe/Berlin', 'Europe/Paris')).toBe(true)
})

const written = { name: 'nightly', task: 't', expression: '0 3 * * *' }

it('a new schedule has all that is written', () => {
  const draft = { ...draftOf(undefined, 'Europe/Berlin'), ...written, kwargs: '{"a": 1}' }
  expect(fieldsOf(draft, undefined)).toEqual({
    ok: true,
    fields: { name: 'nightly', task: 't', kind: 'crontab', expression: '0 3 * * *', timezone: 'Europe/Berlin', kwargs: { a: 1 } },
  })
})

it('of an edited one only what was changed is sent, and arguments stay unless new ones are written', () => {
  const before = schedule({ args_redacted: ['<email>'] })
  const draft = draftOf(before, 'UTC')
  expect(draft.args).toBe('')
  expect(fieldsOf(draft, before)).toEqual({ ok: false, why: 'Nothing is changed.' })
  expect(fieldsOf({ ...draft, expression: '0 4 * * *' }, before)).toEqual({ ok: true, fields: { kind: 'crontab', expression: '0 4 * * *', timezone: 'Europe/Berlin' } })
  expect(fieldsOf({ ...draft, args: '[]' }, before)).toEqual({ ok: true, fields: { args: [] } })
})

it('says what is missing or wrong before anything is sent', () => {
  const draft = { ...draftOf(undefined, 'UTC'), ...written }
  for (const changes of [{ name: ' ' }, { task: '' }, { expression: '' }, { args: '{}' }, { kwargs: '[1' }]) {
    expect(fieldsOf({ ...draft, ...changes }, undefined).ok).toBe(false)
  }
})
