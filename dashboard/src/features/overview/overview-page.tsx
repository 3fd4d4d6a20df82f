import type { ReactElement } from 'react'
import { linkClass } from '../../components/ui/amount'
import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { agentsQuery, queuesQuery, workersQuery } from '../../api/queries'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Segments } from '../../components/ui/segments'
import { WINDOWS, WINDOW_KEYS } from '../../lib/filter'
import { useProject } from '../../lib/session'
import { QueueTable } from '../queues/queue-table'
import { WorkerTable } from '../workers/worker-table'
import { StorageLine } from '../storage/storage-line'
import { useProblemsOf } from '../problems/use-problems'
import { Attention } from './attention'
import { FirstSteps } from './first-steps'
import { Outcomes } from './outcomes'
import { TaskTypes } from './task-types'
import { Trends } from './trends'

const OPTIONS = WINDOW_KEYS.map((value) => ({ value, text: WINDOWS[value] }))

export function OverviewPage(): ReactElement {
  const { since = '1h' } = useSearch({ from: '/' })
  const navigate = useNavigate({ from: '/' })
  const project = useProject()
  const queues = useQuery(queuesQuery(project))
  const workers = useQuery(workersQuery(project))
  const agents = useQuery(agentsQuery(project))
  const problems = { queue: useProblemsOf('queue'), worker: useProblemsOf('worker') }
  if (agents.data?.items.length === 0) return <FirstSteps />
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle
        aside={
          <Segments label="Time window" options={OPTIONS} value={since} onChange={(next) => void navigate({ search: { since: next === '1h' ? undefined : next } })} />
        }
      >
        Overview
      </PageTitle>
      <Attention />
      <Outcomes since={since} />
      <Trends since={since} />
      <div className="grid gap-4 2xl:grid-cols-2">
        <Panel title="Queues" aside={<Link to="/queues" className={linkClass}>all about queues</Link>} flush>
          <QueryView query={queues} what="queues">
            {({ items }) => <QueueTable queues={items} problems={problems.queue} />}
          </QueryView>
        </Panel>
        <Panel title="Workers" aside={<Link to="/workers" className={linkClass}>all about workers</Link>} flush>
          <QueryView query={workers} what="workers">
            {({ items }) => <WorkerTable workers={items.filter((worker) => worker.state !== 'offline')} problems={problems.worker} />}
          </QueryView>
        </Panel>
      </div>
      <TaskTypes since={since} />
      <StorageLine />
    </div>
  )
}
