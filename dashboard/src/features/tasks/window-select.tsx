import { WINDOWS, WINDOW_KEYS } from '../../lib/filter'

interface Props {
  since: string | undefined
  until: string | undefined
  onChange: (since: string | undefined) => void
}

/** How far back the list and its counts look. A window that came with a link is kept and shown as it is. */
export function WindowSelect({ since, until, onChange }: Props) {
  const custom = until !== undefined || (since !== undefined && !(since in WINDOWS))
  return (
    <select
      aria-label="Time window"
      value={custom ? 'custom' : (since ?? '')}
      onChange={(event) => onChange(event.target.value || undefined)}
      className="rounded-md border border-line bg-surface px-2 py-1.5 text-sm"
    >
      {custom && (
        <option value="custom">
          {since ?? 'the start'} to {until ?? 'now'}
        </option>
      )}
      {WINDOW_KEYS.map((key) => (
        <option key={key} value={key}>
          Last {WINDOWS[key]}
        </option>
      ))}
      <option value="">All time</option>
    </select>
  )
}
