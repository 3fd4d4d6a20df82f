import type { Problem } from '../../api/types'
import { Since } from '../../components/ui/time'
import { SeverityIcon } from './severity-icon'

/** In a row that names its subject, a few words are enough; the rest opens below them. */
const SHORT: Readonly<Record<string, string>> = {
  worker_idle: 'Takes no tasks, though some wait for it',
  events_off: 'No task events of it are heard',
  queue_unconsumed: 'Nothing consumes this queue',
  eta_beyond_visibility: 'Holds tasks with an ETA beyond the visibility timeout',
}

/** What is wrong with the subject of a row; the cause and what to do on hover, and when it is opened. */
export function ProblemNotes({ problems }: { problems: readonly Problem[] }) {
  return problems.map(({ kind, severity, title, cause, remedy, since }) => (
    <details key={`${kind}/${title}`} data-testid="row-problem" className="text-xs">
      <summary title={[cause, remedy].filter(Boolean).join(' ')} className={severity === 'error' ? 'text-bad' : 'text-warn'}>
        <SeverityIcon severity={severity} size={13} className="mr-1 inline-block align-text-bottom" />
        {SHORT[kind] ?? title}
        {since != null && <Since at={since} prefix=", for " />}
      </summary>
      <div className="max-w-prose pt-0.5 pb-1 pl-4 [overflow-wrap:anywhere] text-muted">
        <p>{cause}</p>
        {remedy != null && <p className="text-ink">{remedy}</p>}
      </div>
    </details>
  ))
}
