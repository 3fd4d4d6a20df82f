import { expect, it } from 'vitest'
import { AT, at, task } from '../../test-fixtures'
import { ranFor } from './run-time'

it('is what the worker measured, or what passed', () => {
  expect(ranFor(task({ state: 'succeeded', runtime_ms: 340, started_at: AT, finished_at: at(1) }))).toBe(340)
  expect(ranFor(task({ state: 'failed', started_at: AT, finished_at: at(4.2) }))).toBe(4200)
  expect(ranFor(task({ state: 'succeeded', runtime_ms: 0, started_at: AT, finished_at: AT }))).toBe(0)
})

it('is not known where the end comes before the start', () => {
  const late = { started_at: at(3), finished_at: AT }
  expect(ranFor(task({ state: 'succeeded', ...late }))).toBeNull()
  expect(ranFor(task({ state: 'succeeded', runtime_ms: 0, ...late }))).toBeNull()
  expect(ranFor(task({ state: 'succeeded', runtime_ms: -2 }))).toBeNull()
  // What the worker measured needs no clock but its own.
  expect(ranFor(task({ state: 'succeeded', runtime_ms: 12, ...late }))).toBe(12)
})

it('is not known of a lost task', () => expect(ranFor(task({ state: 'lost', started_at: AT, finished_at: at(600) }))).toBeNull())
