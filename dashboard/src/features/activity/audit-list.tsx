import type { AuditEntry } from '../../api/types'
import { Ago } from '../../components/ui/time'

const words = (action: string) => action.replaceAll(/[._]/g, ' ')

export function AuditList({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <ul>
      {entries.map((entry) => (
        <li key={entry.id} className="border-b border-line px-3 py-1.5 text-sm last:border-0">
          <span className="font-medium">{entry.actor}</span> · {words(entry.action)}
          {entry.target != null && <span className="font-mono text-xs break-all"> {entry.target}</span>}
          <span className="text-muted">
            {' '}
            · <Ago at={entry.at} />
          </span>
          {entry.detail != null && <p className="font-mono text-xs break-words text-muted">{typeof entry.detail === 'string' ? entry.detail : JSON.stringify(entry.detail)}</p>}
        </li>
      ))}
    </ul>
  )
}
