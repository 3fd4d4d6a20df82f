import type { BulkJob } from '../../api/types'
import { number, plural } from '../../lib/format'
import { isOver, STATES, stateWords } from '../../lib/states'

/** What a job does now, or how it ended, in one sentence. */
export function jobSentence(job: BulkJob): string {
  const { total, accepted, waiting, failed } = job.counts
  switch (job.state) {
    case 'preparing':
      return 'Its tasks are being noted; nothing has been sent.'
    case 'paused':
      return `Paused${job.reason ? `: ${job.reason}` : ''}. ${plural(waiting, 'task')} not sent.`
    case 'stopping':
      return 'It sends nothing more, and waits for the answers to what it has sent.'
    case 'finished':
      return total === 0 ? 'There was nothing to retry.' : `Finished: ${number(accepted)} of ${plural(total, 'task')} retried${failed > 0 ? `, of which ${number(failed)} failed again` : ''}.`
    case 'cancelled':
      return `Cancelled after ${plural(accepted, 'task')}${job.reason ? `: ${job.reason}` : ''}. ${plural(waiting, 'task')} not sent.`
    case 'stopped':
      return `Stopped: ${job.reason ?? 'too many failed again'}. ${plural(waiting, 'task')} not sent.`
    case 'running':
      return waitSentence(job)
  }
}

/** Which tasks were asked for, in the words of the search box. */
export function filterWords({ filter, include }: BulkJob): string {
  const also = include.length === 0 ? '' : ` Retried, too, if ${include.join(' or ')}.`
  if (typeof filter.picked === 'number') return `Asked for ${filter.picked === 1 ? 'was' : 'were'} ${plural(filter.picked, 'picked task')}.${also}`
  const asked = Object.entries(filter).map(([key, value]) => (key === 'q' ? String(value) : `${key}:${String(value)}`))
  return `Asked for were ${asked.length === 0 ? 'all tasks' : `those with ${asked.join(' ')}`}.${also}`
}

function waitSentence(job: BulkJob): string {
  switch (job.waits_for) {
    case 'canary':
      return `Waiting until the first ${plural(Math.min(job.canary, job.counts.total), 'retried task')} end.`
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
  const state = STATES.find((name) => code === `state_${name}`)
  if (state !== undefined) return isOver(state) ? stateWords[state].word.toLowerCase() : `not over (${stateWords[state].word.toLowerCase()})`
  return REASONS[code] ?? code.replaceAll('_', ' ')
}
