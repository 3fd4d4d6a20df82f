import type { Storage } from '../api/types'
import { plural } from './format'

const HOUR = 3600
const DAY = 24 * HOUR
const AGE = /^(\d+)([smhd])$/
const UNITS: Record<string, number> = { s: 1, m: 60, h: HOUR, d: DAY }

export type KeptKind = Storage['kept'][number]['what']

/** "12 hours", "30 days", "5 years". */
export function keptFor(seconds: number): string {
  if (seconds < 2 * DAY) return plural(Math.floor(seconds / HOUR), 'hour')
  const days = Math.floor(seconds / DAY)
  return days >= 730 && days % 365 === 0 ? plural(days / 365, 'year') : plural(days, 'day')
}

const entry = (storage: Storage, what: KeptKind) => storage.kept.find((kept) => kept.what === what)

/** "Tasks are kept for 30 days, failures and open ones for 90 days." */
export function howLongTasksAreKept(storage: Storage): string {
  const tasks = entry(storage, 'tasks')
  const failures = entry(storage, 'failures')
  if (tasks === undefined || failures === undefined) return ''
  const longer = failures.keep_seconds > tasks.keep_seconds ? `, failures and open ones for ${keptFor(failures.keep_seconds)}` : ''
  const size = storage.limited_by_size ? ', or less while the database is as large as it may be' : ''
  return `Tasks are kept for ${keptFor(tasks.keep_seconds)}${longer}${size}.`
}

/** True when a window begins before the horizon of tasks, so that what is not there may have been dropped. */
export function reachesBeyond(storage: Storage, since: string | undefined, until: string | undefined, now: number): boolean {
  const horizon = Date.parse(entry(storage, 'tasks')?.horizon ?? '')
  return [since, until].some((point) => point !== undefined && instant(point, now) <= horizon)
}

/** An age such as "7d", or a time, as milliseconds since the epoch. */
function instant(text: string, now: number): number {
  const age = AGE.exec(text)
  return age === null ? Date.parse(text) : now - Number(age[1]) * (UNITS[age[2] ?? ''] ?? 0) * 1000
}
