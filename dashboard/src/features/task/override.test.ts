import { expect, it } from 'vitest'
import { elsewhere, hasRedaction, parseArguments } from './override'

it('reads arguments', () => expect(parseArguments('[17]', '{"retry": true}')).toEqual({ ok: true, override: { args: [17], kwargs: { retry: true } } }))

it('says which part is wrong', () => {
  expect(parseArguments('17', '{}')).toMatchObject({ ok: false, why: expect.stringContaining('not a JSON array') })
  expect(parseArguments('[]', '[]')).toMatchObject({ ok: false, why: expect.stringContaining('not a JSON object') })
})

it('finds markers at any depth', () => {
  expect(hasRedaction([{ to: ['<email>'] }])).toBe(true)
  expect(hasRedaction([{ to: ['a@b'] }, 3, null])).toBe(false)
})

it('overrides where and when only as far as that was given', () => {
  expect(elsewhere(' ', '')).toBeUndefined()
  expect(elsewhere(' slow ', '')).toEqual({ queue: 'slow' })
  expect(elsewhere('', '2026-11-23T20:30')).toEqual({ eta: new Date(2026, 10, 23, 20, 30).toISOString() })
})
