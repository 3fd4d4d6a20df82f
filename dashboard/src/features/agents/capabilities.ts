import { isRecord } from '../../lib/format'

const words: Record<string, string> = {
  native_retry: 'retry tasks',
  native_cancel: 'cancel tasks',
  bulk_retry: 'retry many at once',
  purge: 'purge queues',
  preview_retry: 'say what a retry sends',
  query_state: 'ask how tasks stand',
  worker_control: 'order workers',
  task_events: 'hear task events',
  chord_aware: 'follow workflows',
  schedule_crud: 'change schedules',
}

/** What an agent says it can and cannot do with an engine or scheduler, in words. */
export function capabilities(value: unknown): { can: string[]; cannot: string[] } {
  const can: string[] = []
  const cannot: string[] = []
  if (!isRecord(value)) return { can, cannot }
  for (const [key, able] of Object.entries(value)) {
    const word = words[key] ?? key.replaceAll('_', ' ')
    if (able === true) can.push(word)
    else if (able === false) cannot.push(word)
  }
  return { can, cannot }
}
