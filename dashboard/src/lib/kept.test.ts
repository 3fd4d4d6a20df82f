import { expect, it } from 'vitest'
import { AT, storage } from '../test-fixtures'
import { howLongTasksAreKept, keptFor, reachesBeyond } from './kept'

const HOUR = 3600
const DAY = 24 * HOUR

it('says for how long in whole units', () => {
  expect([12 * HOUR, DAY, 7 * DAY, 400 * DAY, 5 * 365 * DAY].map(keptFor)).toEqual(['12 hours', '24 hours', '7 days', '400 days', '5 years'])
})

it('says how long tasks are kept, and that the size may cut that short', () => {
  expect(howLongTasksAreKept(storage())).toBe('Tasks are kept for 30 days, failures and open ones for 90 days.')
  expect(howLongTasksAreKept(storage({ limited_by_size: true }))).toContain('or less while the database is as large as it may be')
})

it('knows which windows reach beyond the horizon', () => {
  const now = Date.parse(AT)
  const beyond = (since?: string, until?: string) => reachesBeyond(storage(), since, until, now)
  expect([beyond('60d'), beyond('30d'), beyond('2026-01-01T00:00:00Z'), beyond(undefined, '45d')]).toEqual([true, true, true, true])
  expect([beyond(), beyond('1h'), beyond('29d'), beyond('2026-11-20T00:00:00Z')]).toEqual([false, false, false, false])
})
