import { clock } from '../lib/time'
import { useZone } from '../lib/zone'
import { useNow } from '../lib/now'
import { useLive, useLiveStatus } from './live'

const shapes = { live: '●', reconnecting: '◌', stale: '▲', paused: '‖' } as const
const colours = { live: 'text-good', reconnecting: 'text-warn', stale: 'text-bad', paused: 'text-muted' } as const

/** Says whether what is on screen is the present; a click pauses and resumes it. */
export function LiveMark() {
  const { connection } = useLive()
  const { state, since } = useLiveStatus()
  const zone = useZone()
  const now = useNow()
  const words = {
    live: 'Live',
    reconnecting: since === null ? 'Connecting…' : 'Reconnecting…',
    stale: `Stale since ${since === null ? 'the start' : clock(new Date(since).toISOString(), zone, now)}`,
    paused: `Paused at ${since === null ? '' : clock(new Date(since).toISOString(), zone, now)}`,
  }
  const why = {
    live: 'Changes appear as they happen. Click to pause.',
    reconnecting: 'The connection to the brain was lost; trying again.',
    stale: 'The brain cannot be reached. What you see is from before; it refreshes by itself when the brain is back.',
    paused: 'Nothing changes on screen until you click to resume.',
  }
  return (
    <button
      type="button"
      data-testid="live-mark"
      data-live={state}
      title={why[state]}
      onClick={() => (state === 'paused' ? connection.resume() : connection.pause())}
      className="inline-flex items-center gap-1.5 rounded px-1.5 py-1 text-sm whitespace-nowrap hover:bg-raised"
    >
      <span aria-hidden className={colours[state]}>
        {shapes[state]}
      </span>
      <span role="status">{words[state]}</span>
    </button>
  )
}
