import type { Attempt } from '../../api/types'
import { between } from '../../lib/time'
import { ranFor } from './run-time'

export interface Bar {
  attempt: Attempt
  /** Shares of the whole axis, 0 to 1. */
  waitFrom: number
  waitTo: number
  runTo: number
  waitMs: number | null
  runMs: number | null
  /** Still going on at the end of the axis. */
  open: boolean
}

/** Lays attempts on one axis of time, from the first thing known to the last, or to now. */
export function bars(attempts: readonly Attempt[], now: number): Bar[] {
  const times = attempts.flatMap((attempt) => [attempt.sent_at, attempt.received_at, attempt.started_at, attempt.finished_at].filter((at) => at != null).map((at) => Date.parse(at)))
  if (times.length === 0) return []
  const isOpen = (attempt: Attempt) => attempt.finished_at == null && (attempt.state === 'pending' || attempt.state === 'received' || attempt.state === 'started')
  const begin = Math.min(...times)
  const end = Math.max(...times, ...(attempts.some(isOpen) ? [now] : []))
  const share = (ms: number) => (end === begin ? 1 : (ms - begin) / (end - begin))

  return attempts.map((attempt) => {
    const open = isOpen(attempt)
    const finished = attempt.finished_at != null ? Date.parse(attempt.finished_at) : open ? now : null
    const started = attempt.started_at != null ? Date.parse(attempt.started_at) : null
    const first = [attempt.sent_at, attempt.received_at, attempt.started_at].find((at) => at != null)
    const from = first != null ? Date.parse(first) : (finished ?? begin)
    const waitEnd = started ?? finished ?? from
    return {
      attempt,
      waitFrom: share(from),
      waitTo: share(waitEnd),
      runTo: share(started === null ? waitEnd : Math.max(waitEnd, finished ?? waitEnd)),
      // A start by itself tells nothing of the wait before it.
      waitMs: attempt.wait_ms ?? between(attempt.sent_at ?? attempt.received_at, attempt.started_at) ?? (open && started === null ? now - from : null),
      runMs: ranFor(attempt) ?? (open && started !== null ? now - started : null),
      open,
    }
  })
}
