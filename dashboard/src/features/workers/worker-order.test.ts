import { expect, it } from 'vitest'
import { agent, worker } from '../../test-fixtures'
import { makeOrder, whyNoOrders } from './worker-order'

const typed = { n: '2', taskName: ' a.b ', rate: '10/m', queue: 'emails' }

it('makes orders of what was typed', () => {
  expect(makeOrder('shutdown', typed)).toEqual({ ok: true, order: { action: 'shutdown' } })
  expect(makeOrder('pool_grow', typed)).toEqual({ ok: true, order: { action: 'pool_grow', n: 2 } })
  expect(makeOrder('rate_limit', typed)).toEqual({ ok: true, order: { action: 'rate_limit', task_name: 'a.b', rate: '10/m' } })
  expect(makeOrder('cancel_consumer', typed)).toEqual({ ok: true, order: { action: 'cancel_consumer', queue: 'emails' } })
})

it('says what is missing', () => {
  expect(makeOrder('pool_shrink', { ...typed, n: '0' })).toMatchObject({ ok: false })
  expect(makeOrder('pool_shrink', { ...typed, n: '1.5' })).toMatchObject({ ok: false })
  expect(makeOrder('rate_limit', { ...typed, rate: 'fast' })).toMatchObject({ ok: false, why: expect.stringContaining('10/s') })
  expect(makeOrder('add_consumer', { ...typed, queue: ' ' })).toMatchObject({ ok: false })
})

it('says why a worker takes no orders', () => {
  const able = agent({ capabilities: { celery: { worker_control: true } } })
  expect(whyNoOrders(worker(), [able])).toBeUndefined()
  expect(whyNoOrders(worker(), undefined)).toBeUndefined()
  expect(whyNoOrders(worker({ state: 'offline' }), [able])).toContain('offline')
  expect(whyNoOrders(worker(), [])).toContain('No agent')
  expect(whyNoOrders(worker(), [agent()])).toContain('cannot give orders')
})
