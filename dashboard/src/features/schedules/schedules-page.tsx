import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState, type ReactElement } from 'react'
import { schedulersQuery, schedulesQuery } from '../../api/queries'
import type { Schedule, Scheduler } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Callout, Empty } from '../../components/ui/notice'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Segments } from '../../components/ui/segments'
import { Since } from '../../components/ui/time'
import { plural } from '../../lib/format'
import { useOperatorReason, useProject } from '../../lib/session'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { fixedSchedulers, needsAttention } from './problem-words'
import { RunNowDialog } from './run-now-dialog'
import { ScheduleForm } from './schedule-form'
import { ScheduleTable } from './schedule-table'

const SHOWN = [
  { value: 'all', text: 'All' },
  { value: 'attention', text: 'Needs attention' },
  { value: 'paused', text: 'Paused' },
] as const

type Shown = (typeof SHOWN)[number]['value']

const FIXED_ONLY = "All schedules stand in the application's settings: make new ones there. With django-celery-beat or RedBeat they can be made from here."

const isShown = (schedule: Schedule, shown: Shown) => shown === 'all' || (shown === 'paused' ? schedule.enabled === false : needsAttention(schedule))

export function SchedulesPage(): ReactElement {
  const project = useProject()
  const { show = 'all' } = useSearch({ from: '/schedules' })
  const navigate = useNavigate({ from: '/schedules' })
  const query = useQuery(schedulesQuery(project))
  const schedulers = useQuery(schedulersQuery(project))
  const [asking, setAsking] = useState<'create' | Schedule | null>(null)
  const sent = useSendCommand()
  const viewer = useOperatorReason()
  const fixed = fixedSchedulers(query.data?.items ?? [])
  const connected = schedulers.data?.items.filter(({ connected_agents }) => connected_agents.length > 0)
  const changeable = connected?.filter(({ name }) => !fixed.has(name))
  const noScheduler = connected?.length === 0 ? 'No agent that sees a scheduler is connected.' : changeable?.length === 0 ? FIXED_ONLY : undefined

  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle
        aside={
          <span className="flex flex-wrap gap-2">
            <Segments label="Which schedules" options={SHOWN} value={show} onChange={(next) => void navigate({ search: { show: next === 'all' ? undefined : next } })} />
            <Button look="primary" reason={viewer ?? noScheduler} onClick={() => setAsking('create')}>
              New schedule…
            </Button>
          </span>
        }
      >
        Schedules
      </PageTitle>
      {noScheduler === FIXED_ONLY && <p className="text-sm text-muted">{FIXED_ONLY}</p>}
      {schedulers.data?.items.map((scheduler) => <SchedulerNotice key={scheduler.name} scheduler={scheduler} />)}
      <CommandOutcome sent={sent} />
      <Panel title="What runs when" aside="as schedulers and tasks tell" flush>
        <QueryView query={query} what="schedules">
          {({ items }) => {
            const shown = items.filter((schedule) => isShown(schedule, show))
            if (items.length === 0) return <NothingYet />
            if (shown.length === 0) return <NothingShown shown={show} total={items.length} />
            return <ScheduleTable schedules={shown} onRun={setAsking} onPause={({ scheduler, id }, paused) => sent.send({ cmd: 'schedule_pause', args: { scheduler, id, paused } })} />
          }}
        </QueryView>
      </Panel>
      {asking === 'create' && (
        <ScheduleForm
          schedulers={changeable ?? []}
          onClose={() => setAsking(null)}
          onConfirm={(scheduler, schedule) => {
            setAsking(null)
            sent.send({ cmd: 'schedule_create', args: { scheduler, schedule } })
          }}
        />
      )}
      {asking !== null && asking !== 'create' && (
        <RunNowDialog
          schedule={asking}
          onClose={() => setAsking(null)}
          onConfirm={() => {
            setAsking(null)
            sent.send({ cmd: 'schedule_run_now', args: { scheduler: asking.scheduler, id: asking.id } })
          }}
        />
      )}
    </div>
  )
}

function SchedulerNotice({ scheduler }: { scheduler: Scheduler }) {
  const { name, silent, last_seen_at, overdue, missed, connected_agents, agents } = scheduler
  if (connected_agents.length === 0) {
    return (
      <Callout tone="warn">
        No agent that sees <strong>{name}</strong> is connected: what it does now is not known.{' '}
        <Link to="/agents" className="underline">
          {agents.length === 1 ? `See agent ${agents[0]}` : 'See the agents'}
        </Link>
      </Callout>
    )
  }
  if (!silent) return null
  return (
    <Callout tone="bad">
      <strong>{name}</strong> has sent nothing{last_seen_at == null ? ' that is known of' : <Since at={last_seen_at} prefix=" for " />}; {plural(overdue + missed, 'schedule')} {overdue + missed === 1 ? 'is' : 'are'} overdue. See that its process runs and reaches its broker.
    </Callout>
  )
}

function NothingYet() {
  return (
    <Empty title="No schedule is known yet">
      Schedules appear when an agent sees a scheduler, such as celery-beat with its settings, its database, or RedBeat.{' '}
      <Link to="/agents" className="underline">
        See what the agents see
      </Link>
    </Empty>
  )
}

function NothingShown({ shown, total }: { shown: Shown; total: number }) {
  return (
    <Empty title={shown === 'paused' ? 'No schedule is paused' : 'No schedule needs attention'}>
      {plural(total, 'schedule')} {total === 1 ? 'is' : 'are'} known.{' '}
      <Link to="/schedules" className="underline">
        Show all
      </Link>
    </Empty>
  )
}
