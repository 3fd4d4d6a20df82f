import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { storageQuery } from '../../api/queries'
import { linkClass } from '../../components/ui/amount'
import { bytes } from '../../lib/format'
import { howLongTasksAreKept } from '../../lib/kept'
import { useProject } from '../../lib/session'

/** Size and horizon in one line. */
export function StorageLine() {
  const { data } = useQuery(storageQuery(useProject()))
  if (data === undefined) return null
  return (
    <p className="text-sm text-muted">
      {bytes(data.used_bytes)} of data{data.max_bytes != null && ` of at most ${bytes(data.max_bytes)}`}. {howLongTasksAreKept(data)}{' '}
      <Link to="/activity" className={linkClass}>
        all about storage
      </Link>
    </p>
  )
}
