import { expect, it } from 'vitest'
import { agent } from '../../test-fixtures'
import { connectSteps } from './connect-steps'

const seen = { agent: null, hasEvent: false, waitedMs: 5000, address: 'ws://brain' }
const states = (fields: Partial<Parameters<typeof connectSteps>[0]>) => connectSteps({ ...seen, ...fields }).map((step) => step.state)

it('ticks one after the other', () => {
  expect(states({})).toEqual(['waiting', 'waiting', 'waiting'])
  expect(states({ agent: agent() })).toEqual(['done', 'done', 'waiting'])
  expect(states({ agent: agent(), hasEvent: true })).toEqual(['done', 'done', 'done'])
})

it('names the probable cause of the step that is stuck, only that one', () => {
  const steps = connectSteps({ ...seen, waitedMs: 31_000 })
  expect(steps.map((step) => step.state)).toEqual(['stuck', 'waiting', 'waiting'])
  expect(steps[0]?.note).toContain('ws://brain')
  expect(states({ agent: agent(), waitedMs: 31_000 })).toEqual(['done', 'done', 'stuck'])
})

it('does not wait to say why an adapter fails', () => expect(connectSteps({ ...seen, agent: agent({ adapters: { celery: 'refused' } }) })[1]).toMatchObject({ state: 'stuck', note: 'celery: refused' }))
