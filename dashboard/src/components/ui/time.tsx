import { clock, coarse, duration, exact, relative } from '../../lib/time'
import { useNow } from '../../lib/now'
import { useZone } from '../../lib/zone'

/** "4 min ago", with the exact instant on hover. */
export function Ago({ at, prefix = '' }: { at: string | null | undefined; prefix?: string }) {
  const now = useNow()
  const zone = useZone()
  if (at == null) return <span title="Not known">—</span>
  return (
    <time dateTime={at} title={exact(at, zone)}>
      {prefix}
      {relative(at, now)}
    </time>
  )
}

/** How long something has been going on, counting. */
export function Since({ at, prefix = '' }: { at: string; prefix?: string }) {
  const now = useNow()
  const zone = useZone()
  return (
    <time dateTime={at} title={`Since ${exact(at, zone)}`}>
      {prefix}
      {coarse(Math.max(0, now - Date.parse(at)))}
    </time>
  )
}

/** "18:03:11", with the exact instant on hover. */
export function Clock({ at }: { at: string | null | undefined }) {
  const now = useNow()
  const zone = useZone()
  if (at == null) return <span title="Not known">—</span>
  return (
    <time dateTime={at} title={exact(at, zone)}>
      {clock(at, zone, now)}
    </time>
  )
}

export function Span({ ms }: { ms: number | null | undefined }) {
  return ms == null ? <span title="Not known">—</span> : <span title={`${ms} ms`}>{duration(ms)}</span>
}
