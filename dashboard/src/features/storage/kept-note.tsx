import { useQuery } from '@tanstack/react-query'
import { storageQuery } from '../../api/queries'
import { howLongTasksAreKept } from '../../lib/kept'
import { useProject } from '../../lib/session'

/** How long tasks are kept, where somebody looks for one that is not there. */
export function KeptNote() {
  const { data } = useQuery(storageQuery(useProject()))
  return data === undefined ? null : <>{howLongTasksAreKept(data)}</>
}
