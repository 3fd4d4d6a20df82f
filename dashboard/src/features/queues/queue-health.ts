import type { Queue } from '../../api/types'

/** Nobody takes from this queue, and something waits in it. */
export const isUnconsumed = (queue: Queue): boolean => queue.consumers === 0 && (queue.depth ?? 0) > 0
