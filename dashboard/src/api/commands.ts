import { queryOptions } from '@tanstack/react-query'
import { client, unwrap } from './client'
import type { Command } from './types'

const projects = '/api/v1/projects/{project}'

export interface RetryOverride {
  args?: unknown[]
  kwargs?: Record<string, unknown>
  queue?: string
  /** RFC 3339. */
  eta?: string
}

/** What a person says of a schedule: all of a new one, or what changes. */
export interface ScheduleFields {
  name?: string
  task?: string
  kind?: string
  expression?: string
  timezone?: string
  /** Null: the one that such tasks normally go to. */
  queue?: string | null
  args?: unknown[]
  kwargs?: Record<string, unknown>
  one_off?: boolean
  description?: string
}

/** What a worker is to do. */
export type WorkerOrder =
  | { action: 'ping' | 'shutdown' }
  | { action: 'pool_grow' | 'pool_shrink'; n: number }
  | { action: 'rate_limit'; task_name: string; rate: string }
  | { action: 'add_consumer' | 'cancel_consumer'; queue: string }

export type NewCommand =
  | { cmd: 'retry_task'; args: { engine: string; task_id: string; override?: RetryOverride } }
  | { cmd: 'cancel_task'; args: { engine: string; task_id: string; terminate: boolean; signal?: string } }
  | { cmd: 'preview_retry'; args: { engine: string; task_ids: string[]; override?: RetryOverride } }
  | { cmd: 'worker_control'; args: { engine: string; worker: string } & WorkerOrder }
  | { cmd: 'purge_queue'; args: { engine: string; queue: string } }
  | { cmd: 'schedule_create'; args: { scheduler: string; schedule: ScheduleFields } }
  | { cmd: 'schedule_update'; args: { scheduler: string; id: string; schedule: ScheduleFields } }
  | { cmd: 'schedule_pause'; args: { scheduler: string; id: string; paused: boolean } }
  | { cmd: 'schedule_delete' | 'schedule_run_now'; args: { scheduler: string; id: string } }
  | { cmd: 'restart_agent'; args: Record<string, never>; agent: string }

/** The key makes a repeated send of the same click one command. */
export const createCommand = (project: string, command: NewCommand, idempotencyKey: string) =>
  unwrap(client.POST(`${projects}/commands`, { params: { path: { project } }, body: { ...command, idempotency_key: idempotencyKey } }))

export const isFinished = (command: Command) => command.status !== 'pending' && command.status !== 'sent'

/** Follows a command to its end: each fetch waits on the server, and the next begins at once while it is unfinished. */
export const commandQuery = (project: string, id: string) =>
  queryOptions({
    queryKey: ['command', project, id],
    queryFn: ({ signal }) =>
      unwrap(client.GET(`${projects}/commands/{id}`, { params: { path: { project, id }, query: { wait: 10 } }, signal })),
    refetchInterval: ({ state }) => (state.data && isFinished(state.data) ? false : 500),
    retry: true,
    retryDelay: 2000,
  })

export const createAgentToken = (project: string, agent: string | undefined) =>
  unwrap(client.POST(`${projects}/agent-tokens`, { params: { path: { project } }, body: agent ? { agent } : {} }))
