import type { Agent, Queue, Scheduler, Worker } from '../../api/types'
import { number, plural } from '../../lib/format'
import { coarse } from '../../lib/time'
import { isUnconsumed } from '../queues/queue-health'

type Kind = 'agent-offline' | 'unreached' | 'agent-problem' | 'lost' | 'quarantine' | 'unconsumed' | 'worker-offline' | 'silent' | 'scheduler-silent' | 'missed' | 'overdue'

export interface Problem {
  key: string
  kind: Kind
  /** The agent, queue or worker that has it. */
  subject: string
  tone: 'bad' | 'warn'
  title: string
  cause: string
  /** Since when, if known. */
  since: string | null
  to: '/agents' | '/queues' | '/workers' | '/schedules'
}

/** A worker that went away longer ago is history, not a problem of now. */
const RECENTLY = 60 * 60 * 1000

/** As many of one kind are named one by one; more are told as one, so that a large fleet does not hide the rest of the page. */
const NAMED = 3

/** What is said of many at once. */
const TOGETHER: Record<Kind, (many: string) => string> = {
  'agent-offline': (many) => `${many} agents are offline`,
  unreached: (many) => `${many} agents do not reach an engine`,
  'agent-problem': (many) => `${many} agents have a problem`,
  lost: (many) => `${many} agents lost batches of events`,
  quarantine: (many) => `Events from ${many} agents could not be understood`,
  unconsumed: (many) => `No worker consumes ${many} queues`,
  'worker-offline': (many) => `${many} workers are offline`,
  silent: (many) => `Nothing is heard from ${many} workers`,
  'scheduler-silent': (many) => `${many} schedulers send nothing`,
  missed: (many) => `Schedules of ${many} schedulers missed their last run`,
  overdue: (many) => `Schedules of ${many} schedulers are overdue`,
}

/** Only what needs someone: each with its cause, since when, and where to go. */
export function findProblems(agents: readonly Agent[], workers: readonly Worker[], queues: readonly Queue[], schedulers: readonly Scheduler[], now: number): Problem[] {
  const found = [...agents.flatMap(ofAgent), ...queues.flatMap(ofQueue), ...schedulers.flatMap(ofScheduler), ...workers.flatMap((worker) => ofWorker(worker, now))]
  const kinds = [...new Set(found.map((problem) => problem.kind))]
  const told = kinds.flatMap((kind) => together(found.filter((problem) => problem.kind === kind)))
  return told.toSorted((one, other) => Number(one.tone === 'warn') - Number(other.tone === 'warn'))
}

function together(problems: Problem[]): Problem[] {
  const [first] = problems
  if (first === undefined || problems.length <= NAMED) return problems
  const subjects = [...new Set(problems.map((problem) => problem.subject))]
  const named = subjects.slice(0, NAMED).join(', ')
  const others = subjects.length - NAMED
  const since = problems.flatMap((problem) => problem.since ?? []).toSorted()[0] ?? null
  return [
    {
      ...first,
      key: `many/${first.kind}`,
      title: TOGETHER[first.kind](number(subjects.length)),
      cause: others > 0 ? `${named} and ${number(others)} more.` : `${named}.`,
      since,
    },
  ]
}

function ofAgent(agent: Agent): Problem[] {
  const problem = (kind: Kind, tone: Problem['tone'], title: string, cause: string, since: string | null = null): Problem => ({ key: `agent/${agent.id}/${kind}/${title}`, kind, subject: agent.name, tone, title, cause, since, to: '/agents' })
  const found: Problem[] = []
  if (agent.state === 'offline') {
    found.push(problem('agent-offline', 'bad', `Agent ${agent.name} is offline`, 'What happens in its queues is not seen until it is back; it keeps events meanwhile if its process lives.', agent.last_seen_at ?? null))
  } else {
    for (const [name, state] of Object.entries(agent.adapters)) {
      if (state !== 'ok') found.push(problem('unreached', 'bad', `Agent ${agent.name} does not reach ${name}`, state))
    }
  }
  if (agent.problem != null) found.push(problem('agent-problem', 'bad', `Agent ${agent.name} has a problem`, agent.problem))
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
      kind: 'unconsumed',
      subject: queue.name,
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
      kind: worker.state === 'offline' ? 'worker-offline' : 'silent',
      subject: worker.name,
      tone: worker.state === 'offline' ? 'bad' : 'warn',
      title: worker.state === 'offline' ? `Worker ${worker.name} is offline` : `Nothing is heard from worker ${worker.name}`,
      cause: worker.active != null && worker.active > 0 ? `${plural(worker.active, 'task')} ran on it when it was last heard.` : 'It was idle when it was last heard.',
      since: worker.last_seen_at,
      to: '/workers',
    },
  ]
}

/** A scheduler that nobody watches is the trouble of its agent, which is told of by itself. */
function ofScheduler({ name, silent, overdue, missed, last_seen_at, connected_agents }: Scheduler): Problem[] {
  if (connected_agents.length === 0) return []
  const problem = (kind: Kind, tone: Problem['tone'], title: string, cause: string, since: string | null = null): Problem => ({ key: `scheduler/${name}/${kind}`, kind, subject: name, tone, title, cause, since, to: '/schedules' })
  const are = (count: number) => (count === 1 ? 'is' : 'are')
  if (silent) {
    const late = overdue + missed
    return [problem('scheduler-silent', 'bad', `${name} sends nothing`, `${plural(late, 'schedule')} ${are(late)} overdue, and nothing else ran since. See that its process runs and reaches its broker.`, last_seen_at ?? null)]
  }
  const found: Problem[] = []
  if (missed > 0) found.push(problem('missed', 'bad', `${plural(missed, 'schedule')} of ${name} missed ${missed === 1 ? 'its' : 'their'} last run`, 'There is no sign that they ran, though others did.'))
  if (overdue > 0) found.push(problem('overdue', 'warn', `${plural(overdue, 'schedule')} of ${name} ${are(overdue)} overdue`, 'They should have run by now; there is no sign of it yet.'))
  return found
}
