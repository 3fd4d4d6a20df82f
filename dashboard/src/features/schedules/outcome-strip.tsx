import clsx from 'clsx'
import type { ScheduleRun } from '../../api/types'
import { exact } from '../../lib/time'
import { useZone } from '../../lib/zone'
import { knownBy, runWords, summary } from './problem-words'

const marks: Record<ScheduleRun['state'], string> = { seen: '✓', late: '▲', missed: '✕', overdue: '…', due: '·', unknown: '?' }
const colours: Record<ScheduleRun['state'], string> = {
  seen: 'text-good',
  late: 'text-warn',
  missed: 'text-bad',
  overdue: 'text-warn',
  due: 'text-muted',
  unknown: 'text-muted',
}

export function RunMark({ run }: { run: ScheduleRun }) {
  return (
    <span aria-hidden className={clsx('inline-block w-3 text-center text-xs', colours[run.state], run.overlapping && 'underline decoration-warn decoration-2 underline-offset-2')}>
      {marks[run.state]}
    </span>
  )
}

/** What became of the last runs, the newest to the right. */
export function OutcomeStrip({ runs, understood = true }: { runs: readonly ScheduleRun[]; understood?: boolean }) {
  const zone = useZone()
  if (runs.length === 0) {
    return (
      <span title={understood ? 'Runs are told from when the schedule was first seen on; none was due since.' : 'Its runs cannot be told: when it is due is not understood.'} className="text-muted">
        —
      </span>
    )
  }
  const about = (run: ScheduleRun) => {
    const known = knownBy(run)
    return `${runWords[run.state].word}, due ${exact(run.due, zone)}${known === null ? '' : `; known by ${known}`}${run.overlapping ? '; the run before had not ended' : ''}`
  }
  return (
    <span role="img" aria-label={`Last ${runs.length === 1 ? 'run' : `${runs.length} runs`}: ${summary(runs)}`} className="inline-flex rounded bg-raised px-0.5 whitespace-nowrap">
      {runs.toReversed().map((run) => (
        <span key={run.due} title={about(run)}>
          <RunMark run={run} />
        </span>
      ))}
    </span>
  )
}
