import type { Inquiry, Task, WhyReason } from '../../api/types'
import { isOver } from '../../lib/states'

/** The question that a task raises while it has not ended. */
export function question(state: Task['state']): string {
  if (isOver(state)) return 'What became of it'
  return state === 'started' ? 'Is it still running?' : 'Why is this not running?'
}

export const roleWords: Record<WhyReason['role'], string> = {
  blocks: 'Keeps it from running',
  delays: 'Delays it',
  context: 'Good to know',
}

const sources: Readonly<Record<string, string>> = {
  queue_sample: 'a sample of the queue',
  worker_heartbeat: 'what workers said of themselves',
  task_events: 'events of the task',
  statistics: 'how others of its type ran',
  inquiry: 'asking the workers',
  agent_connection: 'the connections of agents',
  result_channel: 'its result, as it was announced',
  result_backend: 'the result backend',
  inspection: 'its worker, when it was asked',
}

/** How a reason is known. */
export const sourceOf = (knownBy: string): string => sources[knownBy] ?? knownBy.replaceAll('_', ' ')

const places: Readonly<Record<string, string>> = {
  result_backend: 'in the result backend',
  worker: 'on a worker',
  queue: 'in its queue',
  unacked: 'delivered to a worker and not acknowledged',
}

/** What the agent found, in a line. */
export function findingOf({ state, found_in }: Inquiry, word: (state: string) => string): string {
  // Nothing has it, or nobody could be asked: the evidence says which.
  if (found_in == null) return 'It is not known where it is.'
  return `Found ${places[found_in] ?? found_in}. Its state there: ${word(state)}.`
}

/** A page, and what to find on it. */
export interface Way {
  to: '/queues' | '/workers' | '/agents'
  find: string | undefined
  words: string
}

/** Where what a reason speaks of can be looked into. */
export function wayOf(code: string, task: Pick<Task, 'queue' | 'worker'>): Way | null {
  switch (code) {
    case 'queue_unconsumed':
    case 'behind':
    case 'sample_old':
      return task.queue == null ? null : { to: '/queues', find: task.queue, words: 'See the queue' }
    case 'workers_busy':
    case 'worker_idle':
      return task.queue == null ? null : { to: '/workers', find: task.queue, words: 'See its workers' }
    case 'worker_gone':
    case 'held_by_worker':
    case 'running_long':
      return task.worker == null ? null : { to: '/workers', find: task.worker, words: 'See the worker' }
    case 'agent_offline':
    case 'no_agent':
      return { to: '/agents', find: undefined, words: 'See the agents' }
    default:
      return null
  }
}
