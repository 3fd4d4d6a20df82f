import { expect, it } from 'vitest'
import { command } from '../../test-fixtures'
import { asked, failure, newTaskId, outcome } from './sentence'

it('says what was asked', () => {
  expect(asked(command({ args: { task_id: '1f9c5a2b-0000-4000-8000-000000000000' } }))).toBe('Retry task 1f9c5a2b')
  expect(asked(command({ cmd: 'bulk_retry', args: { task_ids: ['a', 'b'] } }))).toBe('Retry 2 tasks')
  expect(asked(command({ cmd: 'something_new' }))).toBe('something_new')
})

it('says what came of it', () => {
  expect(outcome(command({ cmd: 'purge_queue', args: { queue: 'emails' }, status: 'succeeded', result: { purged: 34 } }))).toBe('Purged 34 tasks from emails.')
  expect(outcome(command({ cmd: 'cancel_task', status: 'succeeded', result: { state: 'revoked' } }))).toBe('Cancelled.')
  expect(outcome(command({ cmd: 'bulk_retry', status: 'succeeded', result: { retried: { a: 'b' }, failed: { c: 'not_found' } } }))).toBe('Retried 1 task; 1 task could not be retried.')
  expect(outcome(command({ status: 'unknown' }))).toMatch(/may have been executed/)
})

it('turns codes into sentences, and keeps what it does not know', () => {
  expect(failure('no_original_payload', null)).toMatch(/arguments are not available/)
  expect(failure('invalid_args', 'nobody declared the queue "nowhere"')).toBe('Nobody declared the queue "nowhere".')
  expect(failure('engine_error', 'WRONGTYPE')).toBe('The engine refused. WRONGTYPE.')
  expect(failure('agent_not_connected', 'no agent that observes celery is connected; nothing was sent')).toBe('No agent that observes celery is connected; nothing was sent. Start the agent, then try again.')
  expect(failure('brand_new', null)).toContain('brand_new')
})

it('finds the new task', () => {
  expect(newTaskId(command({ result: { new_task_id: 'n1' } }))).toBe('n1')
  expect(newTaskId(command())).toBeNull()
})
