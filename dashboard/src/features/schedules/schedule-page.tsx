import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import type { ReactElement, ReactNode } from 'react'
import { scheduleQuery } from '../../api/queries'
import type { Schedule, ScheduleRun } from '../../api/types'
import { linkClass } from '../../components/ui/amount'
import { JsonView } from '../../components/ui/json-view'
import { Callout, Empty } from '../../components/ui/notice'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Table, type Column } from '../../components/ui/table'
import { Ago } from '../../components/ui/time'
import { term } from '../../lib/filter'
import { number, shortId } from '../../lib/format'
import { useProject } from '../../lib/session'
import { RunMark } from './outcome-strip'
import { explainProblem, isFixed, knownBy, problemWords, readOnlyReason, runWords, summary } from './problem-words'
import { ScheduleActions } from './schedule-actions'
import { ScheduleState } from './schedule-state'
import { nameOf } from './schedule-table'
import { InBothZones } from './when'
import { zoneOf } from './zoned'

export function SchedulePage(): ReactElement {
  const { scheduler, id } = useParams({ from: '/schedules/$scheduler/$id' })
  const query = useQuery(scheduleQuery(useProject(), scheduler, id))
  return (
    <div className="flex flex-col gap-4 p-4">
      <Link to="/schedules" className="text-sm text-muted underline">
        All schedules
      </Link>
      <QueryView query={query} what="schedule">
        {(schedule) => <ScheduleView schedule={schedule} />}
      </QueryView>
    </div>
  )
}

function ScheduleView({ schedule }: { schedule: Schedule }) {
  const { problem } = schedule
  const readOnly = isFixed(schedule) ? readOnlyReason(schedule) : undefined
  return (
    <>
      <PageTitle aside={<ScheduleState schedule={schedule} />}>{nameOf(schedule)}</PageTitle>
      <p className="text-base">
        {schedule.words ?? 'When it runs is not understood'}
        {schedule.expression != null && <span className="ml-2 font-mono text-sm text-muted">{schedule.expression}</span>}
      </p>
      {schedule.description && <p className="max-w-prose text-sm text-muted">{schedule.description}</p>}
      {problem != null && schedule.enabled !== false && (
        <Callout tone={problemWords[problem.kind].tone}>
          {explainProblem(problem, schedule)}
          {problem.since != null && (
            <span className="text-muted">
              {' '}
              (<Ago at={problem.since} />)
            </span>
          )}
        </Callout>
      )}
      {schedule.differing_agents.length > 0 && (
        <Callout tone="warn">
          {schedule.differing_agents.join(' and ')} {schedule.differing_agents.length === 1 ? 'tells' : 'tell'} of another schedule under this id: there are several schedulers called {schedule.scheduler}. Give each deployment a project of its own.
        </Callout>
      )}
      {readOnly && <Callout tone="plain">{readOnly}</Callout>}
      <ScheduleActions schedule={schedule} />
      <div className="grid gap-4 xl:grid-cols-2">
        <Panel title="Next runs">
          <NextRuns schedule={schedule} />
        </Panel>
        <Panel title="What it sends">
          <Facts schedule={schedule} />
        </Panel>
      </div>
      <Panel title="Last runs" aside={summary(schedule.last_runs)} flush>
        <Runs schedule={schedule} />
      </Panel>
    </>
  )
}

function NextRuns({ schedule }: { schedule: Schedule }) {
  if (schedule.next_runs.length === 0) {
    return <p className="text-sm text-muted">{schedule.enabled === false ? 'None while it is paused.' : schedule.words == null ? 'They cannot be computed.' : 'It will not run again.'}</p>
  }
  return (
    <ol className="flex flex-col gap-1 text-sm">
      {schedule.next_runs.map((at) => (
        <li key={at}>
          <InBothZones at={at} zone={zoneOf(schedule)} />
        </li>
      ))}
    </ol>
  )
}

function Facts({ schedule }: { schedule: Schedule }) {
  const facts: [string, ReactNode][] = [
    [
      'Task',
      schedule.task == null ? null : (
        <Link to="/tasks" search={{ q: term('name', schedule.task) }} className={`break-all ${linkClass}`}>
          {schedule.task}
        </Link>
      ),
    ],
    ['Queue', schedule.queue || null],
    ['Arguments', schedule.args_redacted == null ? null : <JsonView value={schedule.args_redacted} />],
    ['Keyword arguments', schedule.kwargs_redacted == null ? null : <JsonView value={schedule.kwargs_redacted} />],
    ['Runs ever', schedule.total_run_count == null ? null : number(schedule.total_run_count)],
    ['Starts', schedule.starts_at == null ? null : <Ago at={schedule.starts_at} />],
    ['Ends', schedule.expires_at == null ? null : <Ago at={schedule.expires_at} />],
    ['Tasks expire', schedule.expire_seconds == null ? null : `${number(schedule.expire_seconds)} s after they were sent`],
    ['Scheduler', `${schedule.scheduler}, told by ${schedule.agents.join(', ')}`],
    ['Told', <Ago key="told" at={schedule.synced_at} />],
  ]
  return (
    <dl className="grid grid-cols-[max-content_1fr] gap-x-4 gap-y-1 text-sm">
      {facts
        .filter(([, value]) => value !== null)
        .map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="min-w-0">{value}</dd>
          </div>
        ))}
    </dl>
  )
}

function Runs({ schedule }: { schedule: Schedule }) {
  if (schedule.last_runs.length === 0 && schedule.words == null) {
    return (
      <Empty title="Its runs cannot be told">
        When it is due is not understood.
        {schedule.task != null && (
          <>
            {' '}
            <Link to="/tasks" search={{ q: term('name', schedule.task) }} className="underline">
              See the tasks of its type
            </Link>
          </>
        )}
      </Empty>
    )
  }
  if (schedule.last_runs.length === 0) {
    return <Empty title="No run was due since it was first seen">What it ran before that is not known here.</Empty>
  }
  const columns: readonly Column<ScheduleRun>[] = [
    {
      head: 'Outcome',
      cell: (run) => (
        <span title={runWords[run.state].meaning}>
          <RunMark run={run} /> {runWords[run.state].word}
          {run.overlapping && <span className="text-warn">, the run before had not ended</span>}
        </span>
      ),
    },
    { head: 'Due', cell: (run) => <InBothZones at={run.due} zone={zoneOf(schedule)} /> },
    { head: 'Ran', cell: (run) => (run.seen_at == null ? '—' : <Ago at={run.seen_at} />) },
    { head: 'Known by', hint: 'How it is known that it ran', wideOnly: true, cell: (run) => knownBy(run) ?? '—' },
    {
      head: 'Task',
      cell: (run) =>
        run.task_id == null ? (
          <span title={run.seen_at == null ? undefined : 'Its task was not seen by an agent.'}>—</span>
        ) : (
          <Link to="/tasks/$engine/$taskId" params={{ engine: schedule.engine ?? 'celery', taskId: run.task_id }} className={`font-mono ${linkClass}`}>
            {shortId(run.task_id)}
          </Link>
        ),
    },
  ]
  return <Table label="Last runs" columns={columns} rows={schedule.last_runs} rowKey={(run) => run.due} />
}
