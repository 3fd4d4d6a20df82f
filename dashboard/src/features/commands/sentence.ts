import type { Command } from '../../api/types'
import { isRecord, plural, shortId } from '../../lib/format'

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** What was asked, in words: "Retry task 1f9c5a2b". */
export function asked(command: Command): string {
  const { args } = command
  switch (command.cmd) {
    case 'retry_task':
      return `Retry task ${shortId(text(args.task_id))}`
    case 'cancel_task':
      return `${args.terminate === true ? 'Terminate' : 'Cancel'} task ${shortId(text(args.task_id))}`
    case 'bulk_retry':
      return `Retry ${plural(Array.isArray(args.task_ids) ? args.task_ids.length : 0, 'task')}`
    case 'preview_retry':
      return `Ask what a retry of ${plural(Array.isArray(args.task_ids) ? args.task_ids.length : 0, 'task')} would use`
    case 'query_state':
      return `Ask the engine about ${plural(Array.isArray(args.task_ids) ? args.task_ids.length : 0, 'task')}`
    case 'worker_control':
      return workerOrder(command)
    case 'purge_queue':
      return `Purge queue ${text(args.queue)}`
    case 'schedule_create':
      return `Make schedule ${scheduleName(command)}`
    case 'schedule_update':
      return `Change schedule ${scheduleName(command)}`
    case 'schedule_delete':
      return `Delete schedule ${scheduleName(command)}`
    case 'schedule_pause':
      return `${args.paused === false ? 'Resume' : 'Pause'} schedule ${scheduleName(command)}`
    case 'schedule_run_now':
      return `Run schedule ${scheduleName(command)} now`
    case 'restart_agent':
      return 'Restart agent'
    default:
      return command.cmd
  }
}

/** "Shut down w1@host". */
function workerOrder({ args }: Command): string {
  const named = Array.isArray(args.workers) ? args.workers.map(text) : []
  const names = [...(text(args.worker) ? [text(args.worker)] : []), ...named].join(', ') || 'all workers'
  const by = plural(typeof args.n === 'number' ? args.n : 1, 'slot')
  switch (args.action) {
    case 'ping':
      return `Ping ${names}`
    case 'shutdown':
      return `Shut down ${names}`
    case 'pool_grow':
      return `Grow the pool of ${names} by ${by}`
    case 'pool_shrink':
      return `Shrink the pool of ${names} by ${by}`
    case 'rate_limit':
      return `Limit ${text(args.task_name)} to ${text(args.rate)} on ${names}`
    case 'add_consumer':
      return `Let ${names} consume ${text(args.queue)}`
    case 'cancel_consumer':
      return `Stop ${names} consuming ${text(args.queue)}`
    default:
      return `Order ${text(args.action)} to ${names}`
  }
}

/** Its name, where the agent or the person said it, else its id. */
function scheduleName({ args, result }: Command): string {
  const told = isRecord(result) && isRecord(result.schedule) ? text(result.schedule.name) : ''
  const given = isRecord(args.schedule) ? text(args.schedule.name) : ''
  return told || given || text(args.id)
}

const errors: Record<string, string> = {
  agent_not_connected: 'No agent that can do this is connected, so nothing was sent. Start the agent, then try again.',
  unsupported_command: 'The agent cannot do this for this engine.',
  not_found: 'This task, queue or schedule is not known there any more.',
  no_original_payload: 'The original arguments are not available any more, so the task cannot be repeated as it was.',
  engine_error: 'The engine refused.',
  invalid_args: 'The agent did not understand the request.',
  read_only: 'The agent only observes; it may not change anything here.',
  busy: 'The agent is busy with other commands. Try again in a moment.',
}

const sentence = (message: string): string => {
  const start = message.charAt(0).toUpperCase() + message.slice(1)
  return /[.!?…]$/.test(start) ? start : `${start}.`
}

/** Why a command failed: its stable code as a sentence, and what the agent or the brain said in its own words. */
export function failure(error: string | null | undefined, message: string | null | undefined): string {
  if (error === 'agent_not_connected' && message) return `${sentence(message)} Start the agent, then try again.`
  // The agent says why, and what to do.
  if ((error === 'no_original_payload' || error === 'invalid_args') && message) return sentence(message)
  const known = errors[error ?? ''] ?? (error ? `The agent answered “${error}”.` : 'The command failed.')
  return message ? `${known} ${sentence(message)}` : known
}

/** Why one task of many was left as it is; agents answer with a code or in their own words. */
export const reason = (why: string): string => errors[why] ?? why

/** What has become of the command, as one sentence. */
export function outcome(command: Command): string {
  switch (command.status) {
    case 'pending':
      return 'Waiting to be sent to the agent…'
    case 'sent':
      return 'Sent to the agent, waiting for its answer…'
    case 'failed':
      return failure(command.error, command.message)
    case 'timed_out':
      return 'The agent did not answer in time. It may still carry out the command: look at the task before trying again.'
    case 'unknown':
      return 'The agent went away before it answered. The command may have been executed: look at the task before trying again.'
    case 'succeeded':
      return success(command)
  }
}

function success(command: Command): string {
  const result = isRecord(command.result) ? command.result : {}
  switch (command.cmd) {
    case 'retry_task':
      return 'Runs again as'
    case 'cancel_task':
      return result.state === 'revoked' ? 'Cancelled.' : `Asked to cancel; the engine says the task is ${text(result.state) || 'on its way out'}.`
    case 'bulk_retry': {
      const { retried, failed } = bulkResult(command)
      return failed.length === 0 ? `Retried ${plural(retried.length, 'task')}.` : `Retried ${plural(retried.length, 'task')}; ${plural(failed.length, 'task')} could not be retried.`
    }
    case 'preview_retry':
      return 'The agent said where the original arguments are; nothing was retried.'
    case 'query_state':
      return 'The engine told what it knows.'
    case 'worker_control': {
      const { refused, silent, replied } = workerReplies(command)
      if (replied.length + refused.length + silent.length === 0) return 'No worker replied, and none is known to be up.'
      return refused.length + silent.length === 0 ? 'Done.' : `Not done by ${plural(refused.length + silent.length, 'worker')}.`
    }
    case 'purge_queue':
      return typeof result.purged === 'number' ? `Purged ${plural(result.purged, 'task')} from ${text(command.args.queue)}.` : `Purged ${text(command.args.queue)}.`
    case 'schedule_create':
      return `${scheduleName(command)} is made.`
    case 'schedule_update':
      return `${scheduleName(command)} is changed.`
    case 'schedule_delete':
      return 'The schedule is deleted.'
    case 'schedule_pause':
      return command.args.paused === false ? `${scheduleName(command)} runs again at its times.` : `${scheduleName(command)} is paused.`
    case 'schedule_run_now':
      return newTaskId(command) === null ? 'Its task was sent.' : 'Its task was sent:'
    case 'restart_agent':
      return 'The agent restarts: it rebuilds its adapters and connects again. The host process is untouched.'
    default:
      return 'Done.'
  }
}

export function newTaskId(command: Command): string | null {
  return isRecord(command.result) && typeof command.result.new_task_id === 'string' ? command.result.new_task_id : null
}

interface BulkResult {
  retried: [old: string, fresh: string][]
  failed: [old: string, why: string][]
}

export function bulkResult(command: Command): BulkResult {
  const pairs = (value: unknown): [string, string][] => (isRecord(value) ? Object.entries(value).map(([key, other]) => [key, text(other)]) : [])
  const result = isRecord(command.result) ? command.result : {}
  return { retried: pairs(result.retried), failed: pairs(result.failed) }
}

interface WorkerReplies {
  replied: [worker: string, said: string][]
  refused: [worker: string, why: string][]
  silent: string[]
}

/** What each worker said to an order. */
export function workerReplies(command: Command): WorkerReplies {
  const result = isRecord(command.result) ? command.result : {}
  const told: WorkerReplies = { replied: [], refused: [], silent: Array.isArray(result.silent) ? result.silent.map(text) : [] }
  for (const [worker, reply] of isRecord(result.replies) ? Object.entries(result.replies) : []) {
    if (!isRecord(reply)) continue
    if (reply.ok === true) told.replied.push([worker, text(reply.reply)])
    else told.refused.push([worker, text(reply.error)])
  }
  return told
}
