import type { Task } from '../../api/types'

interface RowTime {
  at: string
  /** Said before the relative time. */
  prefix: string
  /** Counts up without "ago". */
  counting: boolean
}

/** The one time that matters for the state of a task. */
export function rowTime(task: Task, now: number): RowTime {
  const future = task.eta != null && Date.parse(task.eta) > now ? task.eta : null
  switch (task.state) {
    case 'pending':
    case 'received':
      if (future !== null) return { at: future, prefix: 'due ', counting: false }
      return { at: (task.state === 'received' ? task.received_at : null) ?? task.sent_at ?? task.first_seen_at, prefix: 'for ', counting: true }
    case 'started':
      return { at: task.started_at ?? task.updated_at, prefix: 'for ', counting: true }
    case 'retrying':
      return future !== null ? { at: future, prefix: 'again ', counting: false } : { at: task.updated_at, prefix: 'since ', counting: false }
    default:
      return { at: task.finished_at ?? task.updated_at, prefix: '', counting: false }
  }
}
