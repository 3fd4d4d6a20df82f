import type { BulkJob } from '../../api/types'
import { number, plural } from '../../lib/format'

/** What a job does now, or how it ended, in one sentence. */
export function jobSentence(job: BulkJob): string {
  const { total, accepted, waiting } = job.counts
  switch (job.state) {
    case 'preparing':
      return 'Its tasks are being noted; nothing has been sent.'
    case 'paused':
      return `Paused${job.reason ? `: ${job.reason}` : ''}. ${plural(waiting, 'task')} not sent.`
    case 'stopping':
      return 'It sends nothing more, and waits for the answers to what it has sent.'
    case 'finished':
      return total === 0 ? 'There was nothing to retry.' : `Finished: ${number(accepted)} of ${plural(total, 'task')} retried.`
    case 'cancelled':
      return `Cancelled after ${plural(accepted, 'task')}${job.reason ? `: ${job.reason}` : ''}. ${plural(waiting, 'task')} not sent.`
    case 'stopped':
      return `Stopped: ${job.reason ?? 'too many failed again'}. ${plural(waiting, 'task')} not sent.`
    case 'running':
      return waitSentence(job)
  }
}

function waitSentence(job: BulkJob): string {
  switch (job.waits_for) {
    case 'canary':
      return `Waiting until the first ${plural(job.canary, 'retried task')} end.`
    case 'agents':
      return `Waiting for ${job.absent_agents.join(', ') || 'an agent'}, which is not connected.`
    case 'answers':
      return 'Everything is sent; waiting for answers.'
    case 'ends':
      return `Everything is sent; waiting until ${plural(job.counts.awaited, 'retried task')} end.`
    default:
      return `Retrying${job.rate_per_minute == null ? '' : `, at most ${number(job.rate_per_minute)} a minute`}.`
  }
}

const REASONS: Readonly<Record<string, string>> = {
  already_retried: 'retried before',
  in_another_job: 'in another job',
  maybe_retried: 'a retry is under way, or its end is not known',
  state_changed: 'in another state by now',
  dropped: 'past their retention',
  no_original_payload: 'original arguments not available',
  not_found: 'not known to the agent',
  unsupported_command: 'the agent cannot retry',
  engine_error: 'the broker could not be reached',
  not_retried: 'refused by the agent',
  timed_out: 'the agent did not answer in time',
  agent_went_away: 'the agent went away before it answered',
  not_answered: 'the agent did not say',
}

/** A code in a few words. */
export function reasonWords(code: string): string {
  return REASONS[code] ?? code.replace(/^state_/, '').replaceAll('_', ' ')
}
