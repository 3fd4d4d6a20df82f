import type { ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { workersQuery } from '../../api/queries'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { plural } from '../../lib/format'
import { useProject } from '../../lib/session'
import { WorkerTable } from './worker-table'

export function WorkersPage(): ReactElement {
  const query = useQuery(workersQuery(useProject()))
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
                <WorkerTable workers={alive} />
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
    </div>
  )
}
