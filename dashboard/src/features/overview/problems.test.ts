import { expect, it } from 'vitest'
import { agent, AT, at, queue, scheduler, worker } from '../../test-fixtures'
import { findProblems } from './problems'

const now = Date.parse(at(60))

it('is silent when all is well', () => expect(findProblems([agent()], [worker()], [queue({ depth: 5, consumers: 1 }), queue({ depth: 0, consumers: 0 })], [scheduler()], now)).toEqual([]))

it('does not call unknown figures a problem', () => expect(findProblems([], [], [queue({ depth: 5 }), queue({ consumers: 0 })], [], now)).toEqual([]))

it('names what is wrong, the worst first', () => {
  const problems = findProblems(
    [agent({ lost_batches: 1, quarantined_events: 3 }), agent({ id: 'a2', name: 'b', state: 'offline', last_seen_at: AT, adapters: { celery: 'gone' } }), agent({ id: 'a3', name: 'c', adapters: { celery: 'refused' } })],
    [worker({ state: 'offline', active: 2 }), worker({ name: 'old', state: 'offline', last_seen_at: at(-7200) })],
    [queue({ depth: 34, consumers: 0, oldest_age_ms: 720_000 })],
    [],
    now,
  )
  expect(problems.map((problem) => problem.title)).toEqual([
    'Agent b is offline',
    'Agent c does not reach celery',
    'No worker consumes emails',
    'Worker w1 is offline',
    'Agent web-01 lost 1 batch of events',
    '3 events from web-01 could not be understood',
  ])
  expect(problems[2]?.cause).toContain('34 tasks wait, the oldest for 12 min')
})

it('tells of many alike at once, since the first of them', () => {
  const agents = Array.from({ length: 1200 }, (_, index) => agent({ id: `a${index}`, name: `web-${index}`, state: 'offline', last_seen_at: at(index) }))
  const problems = findProblems(agents, [worker({ state: 'offline' })], [], [], now)
  expect(problems.map(({ title, cause, since }) => [title, cause, since])).toEqual([
    ['1,200 agents are offline', 'web-0, web-1, web-2 and 1,197 more.', at(0)],
    ['Worker w1 is offline', 'It was idle when it was last heard.', AT],
  ])
})

it('says once that a scheduler is silent, and not of what nobody watches', () => {
  const silent = scheduler({ silent: true, overdue: 2, missed: 3, last_seen_at: AT })
  expect(findProblems([], [], [], [silent], now).map(({ title, since }) => [title, since])).toEqual([['celery-beat sends nothing', AT]])
  expect(findProblems([], [], [], [{ ...silent, connected_agents: [] }], now)).toEqual([])
  const some = findProblems([], [], [], [scheduler({ overdue: 1, missed: 2 })], now)
  expect(some.map(({ title }) => title)).toEqual(['2 schedules of celery-beat missed their last run', '1 schedule of celery-beat is overdue'])
})
