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
    case 'purge_queue':
      return `Purge queue ${text(args.queue)}`
    case 'restart_agent':
      return 'Restart agent'
    default:
      return command.cmd
  }
}

const errors: Record<string, string> = {
  agent_not_connected: 'No agent that can do this is connected, so nothing was sent. Start the agent, then try again.',
  unsupported_command: 'The agent cannot do this for this engine.',
  not_found: 'The engine no longer knows this task or queue.',
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
    case 'purge_queue':
      return typeof result.purged === 'number' ? `Purged ${plural(result.purged, 'task')} from ${text(command.args.queue)}.` : `Purged ${text(command.args.queue)}.`
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
