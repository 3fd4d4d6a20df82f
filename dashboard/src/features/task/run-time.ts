import type { Attempt, Task } from '../../api/types'
import { between } from '../../lib/time'

type Run = Pick<Task | Attempt, 'state' | 'runtime_ms' | 'started_at' | 'finished_at'>

/**
 * How long it ran, in milliseconds; null where nobody knows. An end before the start, as clocks that differ or a late word of the start
 * make it, says nothing of that; nor does when a lost one was given up.
 */
export function ranFor({ state, runtime_ms, started_at, finished_at }: Run): number | null {
  const passed = between(started_at, finished_at)
  const ran = runtime_ms ?? (state === 'lost' ? null : passed)
  const isNothing = ran === 0 && passed !== null && passed < 0
  return ran === null || ran < 0 || isNothing ? null : ran
}
