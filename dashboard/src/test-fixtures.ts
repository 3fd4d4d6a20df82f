import type { Agent, Attempt, Command, Problem, Queue, Schedule, Scheduler, ScheduleRun, Storage, Task, TaskPage, Worker } from './api/types'

export const AT = '2026-11-22T18:00:00.000000Z'
export const at = (seconds: number) => new Date(Date.parse(AT) + seconds * 1000).toISOString()

export const task = (fields: Partial<Task> = {}): Task => ({
  engine: 'celery',
  task_id: 't1',
  name: 'billing.charge',
  state: 'started',
  attempt: 0,
  started_twice: false,
  updated_at: AT,
  first_seen_at: AT,
  ...fields,
})

export const attempt = (fields: Partial<Attempt> = {}): Attempt => ({ attempt: 0, state: 'started', starts: [], ...fields })

export const page = (items: Task[], next_cursor: string | null = null): TaskPage => ({ items, next_cursor })

export const agent = (fields: Partial<Agent> = {}): Agent => ({
  id: 'a1',
  name: 'web-01',
  state: 'online',
  engines: ['celery'],
  schedulers: [],
  capabilities: {},
  connections: 1,
  first_seen_at: AT,
  adapters: { celery: 'ok' },
  lost_batches: 0,
  quarantined_events: 0,
  metadata: {},
  ...fields,
})

export const queue = (fields: Partial<Queue> = {}): Queue => ({ name: 'emails', engine: 'celery', sampled_at: AT, ...fields })

export const worker = (fields: Partial<Worker> = {}): Worker => ({ name: 'w1', engine: 'celery', state: 'online', queues: ['emails'], last_seen_at: AT, ...fields })

export const run = (fields: Partial<ScheduleRun> = {}): ScheduleRun => ({ due: AT, state: 'seen', seen_at: at(1), evidence: 'last_run_at', overlapping: false, ...fields })

export const schedule = (fields: Partial<Schedule> = {}): Schedule => ({
  scheduler: 'celery-beat',
  id: '1',
  name: 'nightly',
  task: 'reports.nightly',
  engine: 'celery',
  kind: 'crontab',
  expression: '0 3 * * *',
  timezone: 'Europe/Berlin',
  words: 'Every day at 03:00 in Europe/Berlin',
  enabled: true,
  agent: 'web-01',
  agents: ['web-01'],
  differing_agents: [],
  connected: true,
  synced_at: AT,
  next_runs: [at(3600)],
  last_runs: [run()],
  ...fields,
})

export const scheduler = (fields: Partial<Scheduler> = {}): Scheduler => ({
  name: 'celery-beat',
  schedules: 1,
  paused: 0,
  overdue: 0,
  missed: 0,
  silent: false,
  agents: ['web-01'],
  connected_agents: ['web-01'],
  ...fields,
})

export const problem = (fields: Partial<Problem> = {}): Problem => ({
  kind: 'queue_unconsumed',
  severity: 'error',
  subject: { type: 'queue', name: 'emails', engine: 'celery' },
  title: 'No worker consumes emails',
  cause: '34 tasks wait.',
  remedy: 'Start a worker for it.',
  since: null,
  ...fields,
})

export const command = (fields: Partial<Command> = {}): Command => ({
  id: 'c1',
  cmd: 'retry_task',
  args: { engine: 'celery', task_id: 't1' },
  status: 'pending',
  created_at: AT,
  created_by: 'admin',
  ...fields,
})

const DAY = 86400
const kept = (what: Storage['kept'][number]['what'], days: number) => ({ what, keep_seconds: days * DAY, horizon: at(-days * DAY), oldest: at(-DAY) })

export const storage = (fields: Partial<Storage> = {}): Storage => ({
  used_bytes: 2 * 1024 ** 3,
  file_bytes: 3 * 1024 ** 3,
  free_bytes: 1024 ** 3,
  log_bytes: 1024,
  gives_back: true,
  max_bytes: null,
  limited_by_size: false,
  kept: [kept('events', 7), kept('tasks', 30), kept('failures', 90), kept('minutes', 14), kept('hours', 400), kept('days', 1825)],
  ...fields,
})
