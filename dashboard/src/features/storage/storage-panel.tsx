import { useQuery } from '@tanstack/react-query'
import { storageQuery } from '../../api/queries'
import type { Storage } from '../../api/types'
import { Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Ago } from '../../components/ui/time'
import { bytes } from '../../lib/format'
import { keptFor, type KeptKind } from '../../lib/kept'
import { useProject } from '../../lib/session'

const WORDS: Record<KeptKind, string> = {
  events: 'Raw events',
  tasks: 'Tasks that succeeded or were revoked',
  failures: 'Failed, lost, rejected and open tasks',
  minutes: 'Statistics by the minute',
  hours: 'Statistics by the hour',
  days: 'Statistics by the day',
}

/** How much room the database takes, what it keeps for how long, and how far back it really reaches. */
export function StoragePanel() {
  const query = useQuery(storageQuery(useProject()))
  return (
    <Panel title="Storage" aside="all projects together" flush>
      <QueryView query={query} what="storage">
        {(storage) => (
          <>
            <p className="px-3 pt-3 text-sm">
              <Size storage={storage} />
            </p>
            <table className="mt-2 w-full text-sm">
              <thead className="text-left text-xs text-muted">
                <tr>
                  <th scope="col" className="px-3 py-1 font-medium">
                    What
                  </th>
                  <th scope="col" className="px-3 py-1 font-medium">
                    Kept for
                  </th>
                  <th scope="col" className="px-3 py-1 font-medium">
                    Oldest
                  </th>
                </tr>
              </thead>
              <tbody>
                {storage.kept.map(({ what, keep_seconds: seconds, oldest }) => (
                  <tr key={what} className="border-t border-line">
                    <th scope="row" className="px-3 py-1.5 text-left font-normal">
                      {WORDS[what]}
                    </th>
                    <td className="px-3 py-1.5">{keptFor(seconds)}</td>
                    <td className="px-3 py-1.5">{oldest == null ? <span title="There is nothing yet">—</span> : <Ago at={oldest} />}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
      </QueryView>
    </Panel>
  )
}

function Size({ storage }: { storage: Storage }) {
  const { used_bytes: used, max_bytes: max, file_bytes: file, free_bytes: free, log_bytes: log } = storage
  return (
    <>
      <strong className="font-semibold">{bytes(used)}</strong> of data
      {max != null && <> of at most {bytes(max)}</>}, {bytes(file)} on disk
      {log != null && <> and {bytes(log)} of write-ahead log</>}.
      {free > 0 && <> {bytes(free)} of that is free, and used before the database grows.</>}
      {storage.limited_by_size && <> The size is the limit in force: the oldest raw events go first, then the oldest tasks, failures last.</>}
    </>
  )
}
