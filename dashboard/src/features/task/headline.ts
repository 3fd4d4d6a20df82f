import type { Task } from '../../api/types'
import { clock, coarse, duration, type Zone } from '../../lib/time'
import { ranFor } from './run-time'

/** What is the matter with this task, in one sentence. */
export function headline(task: Task, now: number, zone: Zone): string {
  const on = task.worker != null ? ` on ${task.worker}` : ''
  const attempt = task.attempt > 0 ? ` on attempt ${task.attempt + 1}` : ''
  const after = runText(task)
  const eta = task.eta != null && Date.parse(task.eta) > now ? clock(task.eta, zone, now) : null
  const ago = (at: string | null | undefined) => (at == null ? '' : ` for ${coarse(now - Date.parse(at))}`)

  switch (task.state) {
    case 'pending':
      if (eta !== null) return `Due at ${eta}`
      return `Waiting for a worker${task.queue != null ? ` on ${task.queue}` : ''}${ago(task.sent_at)}`
    case 'received':
      if (eta !== null) return `Held by ${task.worker ?? 'a worker'} until ${eta}`
      return `Received by ${task.worker ?? 'a worker'}, waiting to begin${ago(task.received_at)}`
    case 'started':
      return `Running${on}${ago(task.started_at)}${attempt && `,${attempt.replace(' on', '')}`}`
    case 'retrying':
      return `Waiting for retry${eta !== null ? ` until ${eta}` : ''} after attempt ${task.attempt + 1} failed`
    case 'succeeded':
      return `Succeeded${attempt}${after}${on}`
    case 'failed':
      return `Failed${attempt}${after}${on}`
    case 'revoked':
      return task.started_at == null ? 'Cancelled before it ran' : `Cancelled while running${on}${after}`
    case 'rejected':
      return `Rejected by ${task.worker ?? 'a worker'}`
    case 'lost':
      return task.started_at == null ? `Lost before it ran${task.worker != null ? `, after ${task.worker} took it` : ''}` : `Lost after it began${on}${attempt}: neither it nor its end was found`
  }
}

function runText(task: Task): string {
  const ran = ranFor(task)
  return ran === null ? '' : ` after ${duration(ran)}`
}
