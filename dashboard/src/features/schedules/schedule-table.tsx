import { Link } from '@tanstack/react-router'
import type { Schedule } from '../../api/types'
import { linkClass } from '../../components/ui/amount'
import { Button } from '../../components/ui/button'
import { Findable } from '../../components/ui/findable'
import { Table, type Column } from '../../components/ui/table'
import { Ago } from '../../components/ui/time'
import { useOperatorReason } from '../../lib/session'
import { exact } from '../../lib/time'
import { useZone } from '../../lib/zone'
import { OutcomeStrip } from './outcome-strip'
import { isFixed, needsAttention, readOnlyReason } from './problem-words'
import { ScheduleState } from './schedule-state'
import { Timing } from './when'

export const nameOf = (schedule: Schedule): string => schedule.name ?? schedule.id

const columns: readonly Column<Schedule>[] = [
  {
    head: 'Schedule',
    cell: (schedule) => (
      <>
        <Link to="/schedules/$scheduler/$id" params={{ scheduler: schedule.scheduler, id: schedule.id }} className={`font-medium break-words ${linkClass}`}>
          {nameOf(schedule)}
        </Link>
        <span className="block text-xs break-all text-muted">{schedule.task ?? 'Task type not known'}</span>
      </>
    ),
  },
  { head: 'When', hint: 'In plain words, and as it is written', cell: (schedule) => <Timing schedule={schedule} /> },
  { head: 'Next run', hint: "Computed in the schedule's own zone, across changes of the clock", cell: (schedule) => <NextRun schedule={schedule} /> },
  { head: 'Last runs', hint: 'The newest to the right', cell: ({ last_runs, words }) => <OutcomeStrip runs={last_runs} understood={words != null} /> },
  { head: 'State', unnamed: true, cell: (schedule) => <ScheduleState schedule={schedule} /> },
]

function NextRun({ schedule }: { schedule: Schedule }) {
  const zone = useZone()
  const [next] = schedule.next_runs
  if (next === undefined) {
    const why = schedule.enabled === false ? 'It is paused.' : schedule.words == null ? 'When it runs is not understood.' : 'It will not run again.'
    return (
      <span title={why} className="text-muted">
        —
      </span>
    )
  }
  return (
    <span title={schedule.next_runs.map((at) => exact(at, zone)).join('\n')}>
      <Ago at={next} />
    </span>
  )
}

interface Actions {
  onRun: (schedule: Schedule) => void
  onPause: (schedule: Schedule, paused: boolean) => void
}

export function ScheduleTable({ schedules, onRun, onPause }: { schedules: readonly Schedule[] } & Actions) {
  const viewer = useOperatorReason()
  const actions: Column<Schedule> = {
    head: 'Actions',
    unnamed: true,
    right: true,
    cell: (schedule) => {
      const paused = schedule.enabled === false
      const word = paused ? 'Resume' : 'Pause'
      const away = schedule.connected ? undefined : 'No agent that tells of it is connected.'
      return (
        <span className="inline-flex items-center gap-1.5">
          <Button reason={viewer ?? away} aria-label={`Run ${nameOf(schedule)} now`} title="Sends its task now, besides its times" onClick={() => onRun(schedule)}>
            Run now
          </Button>
          {isFixed(schedule) ? (
            <span title={readOnlyReason(schedule)} className="text-xs whitespace-nowrap text-muted">
              in settings
            </span>
          ) : (
            <Button reason={viewer ?? readOnlyReason(schedule)} aria-label={`${word} ${nameOf(schedule)}`} onClick={() => onPause(schedule, !paused)}>
              {word}
            </Button>
          )}
        </span>
      )
    },
  }
  const rank = (schedule: Schedule) => (needsAttention(schedule) ? 0 : schedule.enabled === false ? 2 : 1)
  const next = (schedule: Schedule) => schedule.next_runs[0] ?? '9'
  const sorted = schedules.toSorted((one, other) => rank(one) - rank(other) || next(one).localeCompare(next(other)) || nameOf(one).localeCompare(nameOf(other)))
  return (
    <Findable items={sorted} noun="schedule" text={(schedule) => `${nameOf(schedule)} ${schedule.task ?? ''}`}>
      {(shown) => <Table label="Schedules" columns={[...columns, actions]} rows={shown} rowKey={(schedule) => `${schedule.scheduler}/${schedule.id}`} />}
    </Findable>
  )
}
