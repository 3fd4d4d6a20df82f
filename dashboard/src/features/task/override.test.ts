import { expect, it } from 'vitest'
import { hasRedaction, parseArguments } from './override'

it('reads arguments', () => expect(parseArguments('[17]', '{"retry": true}')).toEqual({ ok: true, override: { args: [17], kwargs: { retry: true } } }))

it('says which part is wrong', () => {
  expect(parseArguments('17', '{}')).toMatchObject({ ok: false, why: expect.stringContaining('not a JSON array') })
  expect(parseArguments('[]', '[]')).toMatchObject({ ok: false, why: expect.stringContaining('not a JSON object') })
})

it('finds markers at any depth', () => {
  expect(hasRedaction([{ to: ['<email>'] }])).toBe(true)
  expect(hasRedaction([{ to: ['a@b'] }, 3, null])).toBe(false)
})
