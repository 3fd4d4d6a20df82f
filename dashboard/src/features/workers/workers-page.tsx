import { useState, type ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { agentsQuery, workersQuery } from '../../api/queries'
import type { Worker } from '../../api/types'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { plural } from '../../lib/format'
import { useProject } from '../../lib/session'
import { WorkerDialog } from './worker-dialog'
import { WorkerTable } from './worker-table'

export function WorkersPage(): ReactElement {
  const project = useProject()
  const query = useQuery(workersQuery(project))
  const agents = useQuery(agentsQuery(project))
  const [ordering, setOrdering] = useState<Worker | null>(null)
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle>Workers</PageTitle>
      <QueryView query={query} what="workers">
        {({ items }) => {
          const alive = items.filter((worker) => worker.state !== 'offline')
          const gone = items.filter((worker) => worker.state === 'offline')
          return (
            <>
              <Panel title="Alive" aside={`${plural(alive.length, 'worker')}`} flush>
                <WorkerTable workers={alive} agents={agents.data?.items} onOrder={setOrdering} />
              </Panel>
              {gone.length > 0 && (
                <details open={alive.length === 0}>
                  <summary className="mb-2 text-sm text-muted">{plural(gone.length, 'worker')} offline</summary>
                  <Panel title="Offline" flush>
                    <WorkerTable workers={gone} />
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
