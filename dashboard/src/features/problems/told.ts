import type { Problem } from '../../api/types'
import { number } from '../../lib/format'

/** As many of one kind are told one by one; more are told as one, so that a large fleet does not hide the rest of the page. */
const NAMED = 3

/** What is said of many at once. */
const TOGETHER: Readonly<Record<Problem['kind'], (many: string) => string>> = {
  agent_offline: (many) => `${many} agents are offline`,
  engine_unreached: (many) => `${many} agents do not reach an engine`,
  agent_problem: (many) => `${many} agents have a problem`,
  lost_batches: (many) => `${many} agents lost batches of events`,
  quarantine: (many) => `Events from ${many} agents could not be understood`,
  queue_unconsumed: (many) => `No worker consumes ${many} queues`,
  worker_offline: (many) => `${many} workers are offline`,
  worker_silent: (many) => `Nothing is heard from ${many} workers`,
  worker_idle: (many) => `${many} workers take no tasks, though some wait for them`,
  events_off: (many) => `No task events are heard from ${many} workers`,
  eta_beyond_visibility: (many) => `${many} workers hold tasks with an ETA beyond the visibility timeout`,
  scheduler_silent: (many) => `${many} schedulers send nothing`,
  schedules_missed: (many) => `Schedules of ${many} schedulers missed their last run`,
  schedules_overdue: (many) => `Schedules of ${many} schedulers are overdue`,
}

/** A problem, or many of one kind, as it is told on the overview. */
export interface Told {
  key: string
  severity: Problem['severity']
  title: string
  cause: string
  remedy: string | null
  since: string | null
  place: Place
}

/** Where a problem can be looked into. */
export interface Place {
  to: '/agents' | '/workers' | '/queues' | '/schedules'
  search: { find?: string; show?: 'attention' }
}

const PAGES: Record<Problem['subject']['type'], Place['to']> = { agent: '/agents', worker: '/workers', queue: '/queues', scheduler: '/schedules' }

const keyOf = ({ kind, subject, title }: Problem) => `${kind}/${subject.engine ?? ''}/${subject.name}/${title}`

/** What needs someone, in the order of the brain: the worst first. */
export function tell(problems: readonly Problem[]): Told[] {
  const kindOf = ({ severity, kind, subject }: Problem) => `${severity} ${kind} ${subject.type}`
  return [...new Set(problems.map(kindOf))].flatMap((kind) => {
    const alike = problems.filter((problem) => kindOf(problem) === kind)
    // A brain that is newer than this page may know kinds that it does not.
    const together: ((many: string) => string) | undefined = alike[0] && TOGETHER[alike[0].kind]
    return together && alike.length > NAMED ? [asOne(alike, together)] : alike.map(alone)
  })
}

function alone(problem: Problem): Told {
  const { severity, subject, title, cause, remedy = null, since = null } = problem
  // Schedules have names of their own: their page shows those that need someone.
  const search = subject.type === 'scheduler' ? { show: 'attention' as const } : { find: subject.name }
  return { key: keyOf(problem), severity, title, cause, remedy, since, place: { to: PAGES[subject.type], search } }
}

function asOne(alike: readonly Problem[], together: (many: string) => string): Told {
  const [first] = alike as [Problem, ...Problem[]]
  const subjects = [...new Set(alike.map(({ subject }) => subject.name))]
  const others = subjects.length - NAMED
  const named = subjects.slice(0, NAMED).join(', ')
  return {
    key: `many/${first.kind}`,
    severity: first.severity,
    title: together(number(subjects.length)),
    cause: others > 0 ? `${named} and ${number(others)} more.` : `${named}.`,
    remedy: alike.every(({ remedy }) => remedy === first.remedy) ? (first.remedy ?? null) : null,
    since: alike.flatMap(({ since }) => since ?? []).toSorted()[0] ?? null,
    place: { to: PAGES[first.subject.type], search: { show: 'attention' } },
  }
}
