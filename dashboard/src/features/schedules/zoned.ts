/** The zone that a schedule's expression is read in. */
export const zoneOf = (schedule: { timezone?: string | null }): string => schedule.timezone || 'UTC'

export const viewerZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone

/** "Tue 24 Nov 03:00" on the wall clock of a zone; seconds where there are some, the year where it is another one. Null where the browser does not know the zone. */
export function wallClock(iso: string, timeZone: string): string | null {
  const date = new Date(iso)
  const second = date.getUTCSeconds() === 0 ? undefined : '2-digit'
  const year = date.getUTCFullYear() === new Date().getUTCFullYear() ? undefined : 'numeric'
  try {
    return new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short', day: 'numeric', month: 'short', year, hour: '2-digit', minute: '2-digit', second })
      .format(date)
      .replaceAll(',', '')
  } catch {
    return null
  }
}

/** True when the two clocks show the same at that instant. */
export const isSameClock = (iso: string, one: string, other: string): boolean => wallClock(iso, one) === wallClock(iso, other)
