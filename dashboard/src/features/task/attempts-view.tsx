import type { Attempt, AttemptStart } from '../../api/types'
import { StateBadge } from '../../components/ui/state-badge'
import { Clock, Span } from '../../components/ui/time'
import { useNow } from '../../lib/now'
import { between, duration } from '../../lib/time'
import { bars, type Bar } from './attempts'

const percent = (share: number) => `${(share * 100).toFixed(2)}%`

const runColour = { succeeded: 'bg-good', failed: 'bg-bad', retrying: 'bg-warn', lost: 'border border-dashed border-bad', revoked: 'bg-odd', rejected: 'bg-odd', started: 'bg-busy', pending: 'bg-muted', received: 'bg-muted' } as const

/** Every attempt with its wait and its run apart, on one axis. */
export function AttemptsView({ attempts }: { attempts: readonly Attempt[] }) {
  const now = useNow()
  if (attempts.length === 0) return <p className="text-sm text-muted">No attempt is known yet: no worker has said anything about this task.</p>
  return (
    <>
      <p className="mb-2 flex flex-wrap gap-x-4 text-xs text-muted">
        <span className="inline-flex items-center gap-1.5">
          <span aria-hidden className="h-2 w-5 rounded-xs border border-dashed border-muted" /> waited
        </span>
        <span className="inline-flex items-center gap-1.5">
          <span aria-hidden className="h-2 w-5 rounded-xs bg-muted" /> ran
        </span>
      </p>
      <ol className="flex flex-col gap-3">
        {bars(attempts, now).map((bar, index) => (
          <AttemptRow key={bar.attempt.attempt} bar={bar} last={index === attempts.length - 1} />
        ))}
      </ol>
    </>
  )
}

function AttemptRow({ bar, last }: { bar: Bar; last: boolean }) {
  const { attempt } = bar
  return (
    <li className="text-sm">
      <div className="flex flex-wrap items-center gap-x-3">
        <span className="font-medium">Attempt {attempt.attempt + 1}</span>
        {/* Only the last attempt can still wait for what comes after it. */}
        <StateBadge state={attempt.state} {...(attempt.state === 'retrying' && !last && { word: 'Failed, retried' })} />
        <span className="text-muted">{attempt.worker ?? 'worker not known'}</span>
        <span className="ml-auto text-muted">
          waited <Span ms={bar.waitMs} /> · ran <Span ms={bar.runMs} /> · <Clock at={attempt.finished_at ?? attempt.started_at ?? attempt.received_at ?? attempt.sent_at} />
        </span>
      </div>
      <div aria-hidden className="relative mt-1 h-3 rounded-xs bg-raised">
        <div className="absolute inset-y-0.5 rounded-xs border border-dashed border-muted" style={{ left: percent(bar.waitFrom), width: percent(bar.waitTo - bar.waitFrom) }} />
        <div
          className={`absolute inset-y-0 rounded-xs ${runColour[attempt.state]} ${bar.open ? 'animate-pulse' : ''}`}
          style={{ left: percent(bar.waitTo), width: percent(bar.runTo - bar.waitTo), minWidth: attempt.started_at == null ? 0 : 3 }}
        />
      </div>
      <Starts starts={attempt.starts} />
      {attempt.exception != null && (
        <p className="mt-1 font-mono text-xs break-words text-bad">
          {attempt.exception}
          {attempt.exception_message ? `: ${attempt.exception_message}` : ''}
        </p>
      )}
    </li>
  )
}

/** Every start of an attempt that was started more than once. */
function Starts({ starts }: { starts: readonly AttemptStart[] }) {
  const [first] = starts
  if (first === undefined || starts.length < 2) return null
  return (
    <div data-testid="starts" className="mt-1 text-xs">
      <p className="text-warn">Started {starts.length} times: what it does may have been done as often.</p>
      <ul className="text-muted">
        {starts.map(({ at, worker }, index) => (
          <li key={`${at}/${worker ?? ''}`}>
            <Clock at={at} /> on <span className="font-mono">{worker ?? 'a worker that is not known'}</span>
            {index > 0 && ` (${duration(between(first.at, at) ?? 0)} after the first)`}
          </li>
        ))}
      </ul>
    </div>
  )
}
