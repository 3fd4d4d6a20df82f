import type { TaskState } from '../api/types'
import { number } from './format'

export const STATES: readonly TaskState[] = ['pending', 'received', 'started', 'retrying', 'succeeded', 'failed', 'revoked', 'rejected', 'lost']

interface StateWords {
  word: string
  meaning: string
}

export const stateWords: Record<TaskState, StateWords> = {
  pending: { word: 'Sent', meaning: 'Published to the broker; no worker has taken it yet' },
  received: { word: 'Received', meaning: 'A worker took it from the broker and has not begun' },
  started: { word: 'Running', meaning: 'A worker said that it began' },
  retrying: { word: 'Waiting for retry', meaning: 'It failed and will run again' },
  succeeded: { word: 'Succeeded', meaning: 'The worker said that it finished' },
  failed: { word: 'Failed', meaning: 'It raised and will not be tried again by itself' },
  revoked: { word: 'Cancelled', meaning: 'It was revoked, or expired before it ran' },
  rejected: { word: 'Rejected', meaning: 'The worker refused the message' },
  lost: { word: 'Lost', meaning: 'It was begun or taken, and neither it nor its end was found; it is not retried by itself' },
}

export const isOver = (state: TaskState): boolean =>
  state === 'succeeded' || state === 'failed' || state === 'revoked' || state === 'rejected' || state === 'lost'

/** What running lost tasks again may do a second time. */
export const lostRepeats = (amount: number): string =>
  amount === 1 ? '1 of them is lost: it may have done its work, or do it still.' : `${number(amount)} of them are lost: they may have done their work, or do it still.`

/** Worth running again in bulk: it ended without its result. */
export const endedBadly = (state: TaskState): boolean => isOver(state) && state !== 'succeeded'
