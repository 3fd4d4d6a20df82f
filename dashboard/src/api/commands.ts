import { queryOptions } from '@tanstack/react-query'
import { client, unwrap } from './client'
import type { Command } from './types'

const projects = '/api/v1/projects/{project}'

export interface RetryOverride {
  args?: unknown[]
  kwargs?: Record<string, unknown>
}

export type NewCommand =
  | { cmd: 'retry_task'; args: { engine: string; task_id: string; override?: RetryOverride } }
  | { cmd: 'cancel_task'; args: { engine: string; task_id: string; terminate: boolean; signal?: string } }
  | { cmd: 'bulk_retry'; args: { engine: string; task_ids: string[] } }
  | { cmd: 'purge_queue'; args: { engine: string; queue: string } }
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
