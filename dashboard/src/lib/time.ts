export type Zone = 'local' | 'utc'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A length of time in the two units that matter: "340 ms", "4.2 s", "3 min 5 s", "2 h 10 min". */
export function duration(ms: number): string {
  if (ms < 0) return '0 ms'
  if (ms < 1) return `${ms.toFixed(1)} ms`
  if (ms < SECOND) return `${Math.round(ms)} ms`
  if (ms < 9.95 * SECOND) return `${(ms / SECOND).toFixed(1)} s`
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`
  if (ms < HOUR) return join(ms, MINUTE, 'min', SECOND, 's')
  if (ms < DAY) return join(ms, HOUR, 'h', MINUTE, 'min')
  return join(ms, DAY, 'd', HOUR, 'h')
}

function join(ms: number, big: number, bigUnit: string, small: number, smallUnit: string): string {
  const whole = Math.floor(ms / big)
  const rest = Math.floor((ms % big) / small)
  return rest === 0 ? `${whole} ${bigUnit}` : `${whole} ${bigUnit} ${rest} ${smallUnit}`
}

/** One unit only, for places where the eye scans down a column: "4 s", "12 min", "3 d". */
export function coarse(ms: number): string {
  const length = Math.abs(ms)
  if (length < MINUTE) return `${Math.floor(length / SECOND)} s`
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`
  if (length < DAY) return `${Math.floor(length / HOUR)} h`
  return `${Math.floor(length / DAY)} d`
}

/** "4 s ago", "in 12 min". Small differences of clocks are "just now", not a negative age. */
export function relative(iso: string, now: number): string {
  const age = now - Date.parse(iso)
  if (Math.abs(age) < SECOND) return 'just now'
  return age > 0 ? `${coarse(age)} ago` : `in ${coarse(age)}`
}

const zoneOption = (zone: Zone) => (zone === 'utc' ? 'UTC' : undefined)

/** "18:03:11" today, "21 Nov 18:03" on other days. */
export function clock(iso: string, zone: Zone, now: number): string {
  const timeZone = zoneOption(zone)
  const date = new Date(iso)
  const day = new Intl.DateTimeFormat('en-CA', { timeZone })
  const sameDay = day.format(date) === day.format(now)
  if (sameDay) return new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(date)
  return new Intl.DateTimeFormat('en-GB', { timeZone, day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }).format(date).replace(',', '')
}

/** The whole truth, with its zone: "2026-11-22 18:03:11.123 UTC". */
export function exact(iso: string, zone: Zone): string {
  const date = new Date(iso)
  if (zone === 'utc') return `${date.toISOString().replace('T', ' ').replace('Z', '')} UTC`
  const parts = new Intl.DateTimeFormat('sv-SE', {
    year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
  }).format(date).replace(',', '.')
  const name = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts(date).find((part) => part.type === 'timeZoneName')
  return `${parts} ${name?.value ?? ''}`.trim()
}

/** Milliseconds between two instants, or null when one is not known. */
export function between(from: string | null | undefined, to: string | null | undefined): number | null {
  if (from == null || to == null) return null
  return Date.parse(to) - Date.parse(from)
}
