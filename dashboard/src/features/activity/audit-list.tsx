import type { AuditEntry } from '../../api/types'
import { Actor } from '../../components/ui/actor'
import { Ago } from '../../components/ui/time'

const words = (action: string) => action.replaceAll(/[._]/g, ' ')

export function AuditList({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <ul>
      {entries.map((entry) => (
        <li key={entry.id} className="border-b border-line px-3 py-1.5 text-sm last:border-0">
          <span className="font-medium">
            <Actor name={entry.actor} />
          </span> · {words(entry.action)}
          {entry.target != null && <span className="font-mono text-xs break-all"> {entry.target}</span>}
          <span className="text-muted">
            {' '}
            · <Ago at={entry.at} />
          </span>
          {entry.detail != null && <Detail text={typeof entry.detail === 'string' ? entry.detail : JSON.stringify(entry.detail)} />}
        </li>
      ))}
    </ul>
  )
}

/** Longer ones would push the entries apart. */
const ONE_LINE = 160

function Detail({ text }: { text: string }) {
  const look = 'font-mono text-xs break-words text-muted'
  if (text.length <= ONE_LINE) return <p className={look}>{text}</p>
  return (
    <details className={look}>
      <summary className="truncate">{text.slice(0, ONE_LINE)}…</summary>
      {text}
    </details>
  )
}
