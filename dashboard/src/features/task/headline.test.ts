import { expect, it } from 'vitest'
import type { Task } from '../../api/types'
import { AT, at, task } from '../../test-fixtures'
import { headline } from './headline'

const now = Date.parse(AT) + 12_000

const cases: [string, Partial<Task>][] = [
  ['Failed on attempt 3 after 4.2 s on w1', { state: 'failed', attempt: 2, runtime_ms: 4200, worker: 'w1' }],
  ['Failed after 4.2 s on w1', { state: 'failed', started_at: AT, finished_at: at(4.2), worker: 'w1' }],
  ['Failed', { state: 'failed' }],
  ['Succeeded on w1', { state: 'succeeded', started_at: at(2), finished_at: AT, runtime_ms: 0, worker: 'w1' }],
  ['Waiting for retry until 18:03:11 after attempt 1 failed', { state: 'retrying', eta: '2026-11-22T18:03:11Z' }],
  ['Waiting for retry after attempt 1 failed', { state: 'retrying', eta: at(-5) }],
  ['Waiting for a worker on emails for 12 s', { state: 'pending', queue: 'emails', sent_at: AT }],
  ['Due at 18:03:11', { state: 'pending', eta: '2026-11-22T18:03:11Z' }],
  ['Received by w1, waiting to begin for 2 s', { state: 'received', worker: 'w1', received_at: at(10) }],
  ['Held by w1 until 18:03:11', { state: 'received', worker: 'w1', eta: '2026-11-22T18:03:11Z' }],
  ['Running on w1 for 12 s', { state: 'started', worker: 'w1', started_at: AT }],
  ['Running on w1 for 12 s, attempt 2', { state: 'started', worker: 'w1', started_at: AT, attempt: 1 }],
  ['Succeeded on attempt 2 after 340 ms on w1', { state: 'succeeded', attempt: 1, runtime_ms: 340, worker: 'w1' }],
  ['Cancelled before it ran', { state: 'revoked' }],
  ['Cancelled while running on w1 after 2.0 s', { state: 'revoked', started_at: AT, finished_at: at(2), worker: 'w1' }],
  ['Rejected by a worker', { state: 'rejected' }],
  ['Lost after it began on w1: neither it nor its end was found', { state: 'lost', started_at: AT, worker: 'w1' }],
  ['Lost before it ran, after w1 took it', { state: 'lost', received_at: AT, worker: 'w1' }],
]

it.each(cases)('%s', (sentence, fields) => expect(headline(task(fields), now, 'utc')).toBe(sentence))
