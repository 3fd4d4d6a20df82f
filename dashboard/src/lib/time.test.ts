import { describe, expect, it } from 'vitest'
import { between, clock, coarse, duration, exact, relative } from './time'

describe('duration', () => {
  it.each([
    [0.4, '0.4 ms'],
    [340, '340 ms'],
    [4200, '4.2 s'],
    [9960, '9 s'],
    [59_999, '59 s'],
    [185_000, '3 min 5 s'],
    [7_800_000, '2 h 10 min'],
    [86_400_000 * 3, '3 d'],
    [-5, '0 ms'],
  ])('%d ms is %s', (ms, text) => expect(duration(ms)).toBe(text))
})

describe('relative', () => {
  const now = Date.parse('2026-11-22T18:00:00Z')
  it.each([
    ['2026-11-22T17:59:56Z', '4 s ago'],
    ['2026-11-22T17:48:00Z', '12 min ago'],
    ['2026-11-22T18:02:00Z', 'in 2 min'],
    ['2026-11-22T18:00:00.400Z', 'just now'],
    ['2026-11-19T18:00:00Z', '3 d ago'],
  ])('%s is %s', (at, text) => expect(relative(at, now)).toBe(text))
})

it('names the day only when it is another one', () => {
  const now = Date.parse('2026-11-22T18:00:00Z')
  expect(clock('2026-11-22T17:03:11Z', 'utc', now)).toBe('17:03:11')
  expect(clock('2026-11-21T17:03:11Z', 'utc', now)).toBe('21 Nov 17:03')
})

it('says the zone of an exact time', () => {
  expect(exact('2026-11-22T18:03:11.123456Z', 'utc')).toBe('2026-11-22 18:03:11.123 UTC')
  expect(exact('2026-11-22T18:03:11.123456Z', 'local')).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.123 \S+/)
})

it('does not invent a length when one end is not known', () => {
  expect(between(null, '2026-11-22T18:00:00Z')).toBeNull()
  expect(between('2026-11-22T18:00:00Z', '2026-11-22T18:00:01Z')).toBe(1000)
})

it('shows one unit in columns', () => expect(coarse(7_800_000)).toBe('2 h'))
