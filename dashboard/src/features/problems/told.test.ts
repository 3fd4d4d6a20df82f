import { expect, it } from 'vitest'
import type { Problem } from '../../api/types'
import { AT, at, problem } from '../../test-fixtures'
import { tell } from './told'

it('says what the brain said, in its order, and leads to the one that has it', () => {
  const told = tell([problem({ kind: 'queue_unconsumed' }), problem({ kind: 'events_off', severity: 'warning', title: 'w1 sends no task events', subject: { type: 'worker', name: 'w1', engine: 'celery' } })])
  expect(told.map(({ title, place }) => [title, place])).toEqual([
    ['No worker consumes emails', { to: '/queues', search: { find: 'emails' } }],
    ['w1 sends no task events', { to: '/workers', search: { find: 'w1' } }],
  ])
  expect(told[0]).toMatchObject({ cause: '34 tasks wait.', remedy: 'Start a worker for it.' })
})

it('leads to the schedules that need someone, whichever they are', () => {
  const [told] = tell([problem({ kind: 'schedules_missed', subject: { type: 'scheduler', name: 'celery-beat', engine: null } })])
  expect(told?.place).toEqual({ to: '/schedules', search: { show: 'attention' } })
})

it('tells of many alike at once, since the first of them, and of the others one by one', () => {
  const agents = Array.from({ length: 1200 }, (_, index) => problem({ kind: 'agent_offline', subject: { type: 'agent', name: `web-${index}`, engine: null }, since: at(index), remedy: 'Start it again.' }))
  const told = tell([...agents, problem({ since: AT })])
  expect(told.map(({ title, cause, remedy, since, place }) => [title, cause, remedy, since, place])).toEqual([
    ['1,200 agents are offline', 'web-0, web-1, web-2 and 1,197 more.', 'Start it again.', at(0), { to: '/agents', search: { show: 'attention' } }],
    ['No worker consumes emails', '34 tasks wait.', 'Start a worker for it.', AT, { to: '/queues', search: { find: 'emails' } }],
  ])
})

it('gives no advice to many that is only for some', () => {
  const queues = ['a', 'b', 'c', 'd'].map((name) => problem({ subject: { type: 'queue', name, engine: 'celery' }, remedy: `Start a worker for ${name}.` }))
  expect(tell(queues)).toMatchObject([{ title: 'No worker consumes 4 queues', remedy: null }])
})

it('makes do with kinds of tomorrow', () => {
  const odd = ['a', 'b', 'c', 'd'].map((name) => problem({ kind: 'moon_phase' as Problem['kind'], title: `${name} is odd`, subject: { type: 'queue', name, engine: 'celery' } }))
  expect(tell(odd).map(({ title }) => title)).toEqual(['a is odd', 'b is odd', 'c is odd', 'd is odd'])
})
