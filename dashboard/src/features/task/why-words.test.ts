import { expect, it } from 'vitest'
import { findingOf, question, sourceOf, wayOf } from './why-words'

it('asks what fits the state', () => {
  expect(question('pending')).toBe('Why is this not running?')
  expect(question('retrying')).toBe('Why is this not running?')
  expect(question('started')).toBe('Is it still running?')
  expect(question('lost')).toBe('What became of it')
})

it('leads to what a reason speaks of, where it is known', () => {
  expect(wayOf('queue_unconsumed', { queue: 'emails' })).toMatchObject({ to: '/queues', find: 'emails' })
  expect(wayOf('workers_busy', { queue: 'emails', worker: 'w1' })).toMatchObject({ to: '/workers', find: 'emails' })
  expect(wayOf('held_by_worker', { queue: 'emails', worker: 'w1' })).toMatchObject({ to: '/workers', find: 'w1' })
  expect(wayOf('worker_gone', {})).toBeNull()
  expect(wayOf('eta', { queue: 'emails' })).toBeNull()
})

it('says where it was found, and makes do with words of tomorrow', () => {
  const found = { asked_at: '', state: 'started', evidence: [], workers_silent: [] }
  expect(findingOf({ ...found, found_in: 'worker' }, (state) => state)).toBe('Found on a worker. Its state there: started.')
  expect(findingOf({ ...found, found_in: null }, String)).toBe('It is not known where it is.')
  expect(sourceOf('tea_leaves')).toBe('tea leaves')
})
