import type { Schedule } from '../../api/types'
import { relative } from '../../lib/time'
import { useNow } from '../../lib/now'
import { useZone } from '../../lib/zone'
import { isSameClock, viewerZone, wallClock, zoneOf } from './zoned'

/** An instant on the schedule's own clock, with the viewer's where that shows something else. */
export function InBothZones({ at, zone }: { at: string; zone: string }) {
  const now = useNow()
  const shown = useZone()
  const mine = shown === 'utc' ? 'UTC' : viewerZone()
  const own = wallClock(at, zone)
  const same = own === null || isSameClock(at, zone, mine)
  return (
    <time dateTime={at} className="whitespace-nowrap">
      {own ?? wallClock(at, mine)}
      <span className="text-muted">
        {' '}
        {own === null ? mine : zone}
        {!same && ` · ${wallClock(at, mine)} ${mine}`} · {relative(at, now)}
      </span>
    </time>
  )
}

/** Plain words, and the expression beside them. */
export function Timing({ schedule }: { schedule: Schedule }) {
  return (
    <span>
      {schedule.words ?? 'Not understood'}
      {schedule.expression != null && (
        <span className="block font-mono text-xs text-muted">
          {schedule.expression}
          {schedule.kind === 'crontab' && zoneOf(schedule) !== 'UTC' && ` ${zoneOf(schedule)}`}
        </span>
      )}
    </span>
  )
}
