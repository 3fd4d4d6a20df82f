import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { queuesQuery, taskTypesQuery, workersQuery } from '../../api/queries'
import type { KnownValues } from '../../lib/filter'
import { useProject } from '../../lib/session'

/** Names that the search box can complete; asked for once the box is used. */
export function useKnownValues(enabled: boolean): KnownValues {
  const project = useProject()
  const types = useQuery({ ...taskTypesQuery(project, '7d'), enabled, staleTime: 60_000 })
  const queues = useQuery({ ...queuesQuery(project), enabled, staleTime: 60_000 })
  const workers = useQuery({ ...workersQuery(project), enabled, staleTime: 60_000 })
  return useMemo(() => {
    const unique = (values: string[] | undefined) => [...new Set(values)].sort()
    return {
      name: unique(types.data?.items.map((type) => type.name)),
      queue: unique(queues.data?.items.map((queue) => queue.name)),
      worker: unique(workers.data?.items.map((worker) => worker.name)),
      engine: unique(queues.data?.items.map((queue) => queue.engine)),
    }
  }, [types.data, queues.data, workers.data])
}
