import { useState, type ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { agentsQuery, workersQuery } from '../../api/queries'
import type { Worker } from '../../api/types'
import { holds } from '../../components/ui/findable'
import { Loading } from '../../components/ui/notice'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { plural } from '../../lib/format'
import { useProject } from '../../lib/session'
import { NoneNeedsAttention } from '../problems/none-needs-attention'
import { ShownChoice, useShown } from '../problems/shown'
import { useProblemsOf } from '../problems/use-problems'
import { WorkerDialog } from './worker-dialog'
import { foundBy, WorkerTable } from './worker-table'

export function WorkersPage(): ReactElement {
  const project = useProject()
  const shown = useShown('/workers')
  const query = useQuery(workersQuery(project))
  const agents = useQuery(agentsQuery(project))
  const problems = useProblemsOf('worker')
  const [ordering, setOrdering] = useState<Worker | null>(null)
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle aside={<ShownChoice noun="worker" shown={shown} />}>Workers</PageTitle>
      <QueryView query={query} what="workers">
        {({ items }) => {
          const workers = shown.show === 'all' ? items : items.filter(({ engine, name }) => problems.all(engine, name).length > 0)
          const alive = workers.filter((worker) => worker.state !== 'offline')
          const gone = workers.filter((worker) => worker.state === 'offline' && holds(foundBy(worker), shown.seeking.sought))
          if (shown.show !== 'all' && !problems.known) return <Loading what="problems" />
          if (workers.length === 0 && items.length > 0) return <NoneNeedsAttention total={items.length} noun="worker" page="/workers" />
          return (
            <>
              {(alive.length > 0 || shown.show === 'all') && (
                <Panel title="Alive" aside={plural(alive.length, 'worker')} flush>
                  <WorkerTable workers={alive} problems={problems} agents={agents.data?.items} seeking={shown.seeking} onOrder={setOrdering} />
                </Panel>
              )}
              {gone.length > 0 && (
                // Who comes looking for one that is offline finds it unfolded.
                <details open={alive.length === 0 || shown.show !== 'all' || shown.seeking.sought !== ''}>
                  <summary className="mb-2 text-sm text-muted">{plural(gone.length, 'worker')} offline</summary>
                  <Panel title="Offline" flush>
                    <WorkerTable workers={gone} problems={problems} />
                  </Panel>
                </details>
              )}
            </>
          )
        }}
      </QueryView>
      {ordering && <WorkerDialog worker={ordering} onClose={() => setOrdering(null)} />}
    </div>
  )
}
