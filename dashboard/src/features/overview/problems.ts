import type { Agent, Queue, Worker } from '../../api/types'
import { number, plural } from '../../lib/format'
import { coarse } from '../../lib/time'
import { isUnconsumed } from '../queues/queue-health'

export interface Problem {
  key: string
  tone: 'bad' | 'warn'
  title: string
  cause: string
  /** Since when, if known. */
  since: string | null
  to: '/agents' | '/queues' | '/workers'
}

/** A worker that went away longer ago is history, not a problem of now. */
const RECENTLY = 60 * 60 * 1000

/** Only what needs someone: each with its cause, since when, and where to go. */
export function findProblems(agents: readonly Agent[], workers: readonly Worker[], queues: readonly Queue[], now: number): Problem[] {
  return [...agents.flatMap(ofAgent), ...queues.flatMap(ofQueue), ...workers.flatMap((worker) => ofWorker(worker, now))].toSorted(
    (one, other) => Number(one.tone === 'warn') - Number(other.tone === 'warn'),
  )
}

function ofAgent(agent: Agent): Problem[] {
  const problem = (kind: string, tone: Problem['tone'], title: string, cause: string, since: string | null = null): Problem => ({ key: `agent/${agent.id}/${kind}`, tone, title, cause, since, to: '/agents' })
  const found: Problem[] = []
  if (agent.state === 'offline') {
    found.push(problem('offline', 'bad', `Agent ${agent.name} is offline`, 'What happens in its queues is not seen until it is back; it keeps events meanwhile if its process lives.', agent.last_seen_at ?? null))
  } else {
    for (const [name, state] of Object.entries(agent.adapters)) {
      if (state !== 'ok') found.push(problem(`adapter/${name}`, 'bad', `Agent ${agent.name} does not reach ${name}`, state))
    }
  }
  if (agent.problem != null) found.push(problem('problem', 'bad', `Agent ${agent.name} has a problem`, agent.problem))
  if (agent.lost_batches > 0) {
    found.push(problem('lost', 'warn', `Agent ${agent.name} lost ${number(agent.lost_batches)} ${agent.lost_batches === 1 ? 'batch' : 'batches'} of events`, 'Some tasks of that time may show an old state.'))
  }
  if (agent.quarantined_events > 0) {
    found.push(problem('quarantine', 'warn', `${plural(agent.quarantined_events, 'event')} from ${agent.name} could not be understood`, 'They are kept in quarantine; the tasks they speak of may be incomplete.'))
  }
  return found
}

function ofQueue(queue: Queue): Problem[] {
  if (!isUnconsumed(queue)) return []
  const waits = queue.oldest_age_ms == null ? '' : `, the oldest for ${coarse(queue.oldest_age_ms)}`
  return [
    {
      key: `queue/${queue.engine}/${queue.name}`,
      tone: 'bad',
      title: `No worker consumes ${queue.name}`,
      cause: `${plural(queue.depth ?? 0, 'task')} ${queue.depth === 1 ? 'waits' : 'wait'}${waits}. Start a worker for this queue, or look at why its workers stopped.`,
      since: null,
      to: '/queues',
    },
  ]
}

function ofWorker(worker: Worker, now: number): Problem[] {
  if (worker.state === 'online' || now - Date.parse(worker.last_seen_at) > RECENTLY) return []
  return [
    {
      key: `worker/${worker.engine}/${worker.name}`,
      tone: worker.state === 'offline' ? 'bad' : 'warn',
      title: worker.state === 'offline' ? `Worker ${worker.name} is offline` : `Nothing is heard from worker ${worker.name}`,
      cause: worker.active != null && worker.active > 0 ? `${plural(worker.active, 'task')} ran on it when it was last heard.` : 'It was idle when it was last heard.',
      since: worker.last_seen_at,
      to: '/workers',
    },
  ]
}
