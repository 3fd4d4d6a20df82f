import type { TimelineEntry } from '../../api/types'
import { Clock } from '../../components/ui/time'
import { duration } from '../../lib/time'
import { KnownBy } from './known-by'

const words: Record<string, string> = {
  task_sent: 'Sent to the broker',
  task_received: 'Received by a worker',
  task_started: 'Began to run',
  task_progress: 'Reported progress',
  task_succeeded: 'Succeeded',
  task_failed: 'Failed',
  task_retry: 'Failed, will be retried',
  task_revoked: 'Revoked',
  task_rejected: 'Rejected',
  task_lost: 'Judged to be lost',
}

/** What happened, in order, with the time that passed between. */
export function TimelineView({ entries }: { entries: readonly TimelineEntry[] }) {
  return (
    <ol className="text-sm">
      {entries.map((entry, index) => {
        const before = entries[index - 1]
        const passed = before && Date.parse(entry.ts) - Date.parse(before.ts)
        return (
          <li key={index} className="grid grid-cols-[5.5rem_1fr_auto] gap-x-3 border-b border-line py-1 last:border-0">
            <span className="text-muted">
              <Clock at={entry.ts} />
            </span>
            <span>
              {words[entry.event] ?? entry.event}
              {entry.worker != null && <span className="text-muted"> · {entry.worker}</span>}
              {entry.attempt != null && entry.attempt > 0 && <span className="text-muted"> · attempt {entry.attempt + 1}</span>}
              {entry.known_by != null && (
                <span className="text-muted">
                  {' · '}
                  <KnownBy way={entry.known_by} />
                </span>
              )}
              {entry.detail != null && <span className="block text-xs break-words text-muted">{entry.detail}</span>}
            </span>
            <span className="text-xs text-muted">{passed !== undefined && passed > 0 ? `+${duration(passed)}` : ''}</span>
          </li>
        )
      })}
    </ol>
  )
}
