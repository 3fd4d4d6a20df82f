import type { BulkDryRun } from '../../api/types'
import { Callout } from '../../components/ui/notice'
import { number, plural } from '../../lib/format'
import { lostRepeats } from '../../lib/states'
import { reasonWords } from './sentence'

/** How many of them would run again. Of a sample only what is known of all of them is taken off. */
export function runnable({ retryable, preview }: BulkDryRun): number {
  return preview.is_sample ? retryable : retryable - preview.cannot.reduce((sum, reason) => sum + reason.count, 0)
}

/** What a bulk retry would do, and what can and cannot be retried. With `picked`, so many were picked one by one. */
export function DryRun({ found, picked }: { found: BulkDryRun; picked?: number | undefined }) {
  const { preview } = found
  const gone = (picked ?? 0) - found.total
  const lost = found.by_state.find(({ value }) => value === 'lost')?.count ?? 0
  const lossy = preview.by_source.filter((source) => !source.lossless).reduce((sum, source) => sum + source.count, 0)
  const sure = preview.asked - lossy - preview.cannot.reduce((sum, reason) => sum + reason.count, 0)
  return (
    <div className="flex flex-col gap-3 text-sm">
      <p>
        {plural(found.total, 'task')} {verb(found.total, picked !== undefined)}
        {found.truncated ? ', or more: a job takes the newest 100,000' : ''}. {whatRuns(found)}
      </p>
      {gone > 0 && <p className="text-muted">{plural(gone, 'picked task')} {gone === 1 ? 'is' : 'are'} not known any more.</p>}
      <Rows title={picked === undefined ? 'What matches, by name' : 'By name'} rows={found.by_name.map(({ value, count }) => [value ?? 'name not known', count])} mono />
      {found.other_names > 0 && <p className="text-muted">and {plural(found.other_names, 'other name')}</p>}
      {found.not_retryable.length > 0 && <Rows title="Not retried" rows={found.not_retryable.map(({ code, count }) => [reasonWords(code), count])} />}
      {lost > 0 && <Callout tone="warn">{lostRepeats(lost)}</Callout>}
      {found.agent_offline > 0 && <Callout tone="warn">{plural(found.agent_offline, 'task')} will wait: their agent is not connected.</Callout>}
      {preview.asked > 0 && (
        <Rows
          title={preview.is_sample ? `Original arguments, of ${number(preview.asked)} asked about` : 'Original arguments'}
          rows={[
            ['available, exactly as they were', sure],
            ['available, read from their text form', lossy],
            ...preview.cannot.map(({ code, count }): [string, number] => [reasonWords(code), count]),
          ]}
        />
      )}
      {preview.not_known > 0 && <p className="text-muted">Of {plural(preview.not_known, 'task')} the agent cannot say before trying whether the original arguments are available.</p>}
    </div>
  )
}

function verb(amount: number, isPicked: boolean): string {
  if (isPicked) return amount === 1 ? 'is picked' : 'are picked'
  return amount === 1 ? 'matches' : 'match'
}

function whatRuns(found: BulkDryRun): string {
  const { total } = found
  const can = runnable(found)
  if (can === 0) return total === 1 ? 'It cannot be retried.' : 'None of them can be retried.'
  const as = 'runs again as a new task with its original arguments.'
  if (can === total) return `${total === 1 ? 'It' : 'Each'} ${as}`
  return `Of these, ${plural(can, 'task')} can be retried: ${can === 1 ? 'it' : 'each'} ${as}`
}

function Rows({ title, rows, mono = false }: { title: string; rows: readonly (readonly [string, number])[]; mono?: boolean }) {
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-muted">{title}</h3>
      <ul className="max-h-32 overflow-y-auto">
        {rows
          .filter(([, amount]) => amount > 0)
          .map(([name, amount]) => (
            <li key={name} className="flex justify-between gap-4">
              <span className={mono ? 'truncate font-mono text-xs leading-5' : 'truncate'}>{name}</span>
              <span className="tabular-nums">{number(amount)}</span>
            </li>
          ))}
      </ul>
    </section>
  )
}
