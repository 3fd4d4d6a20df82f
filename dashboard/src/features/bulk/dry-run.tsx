import type { BulkDryRun } from '../../api/types'
import { Callout } from '../../components/ui/notice'
import { number, plural } from '../../lib/format'
import { reasonWords } from './sentence'

/** What a bulk retry would do, and what can and cannot be retried. */
export function DryRun({ found }: { found: BulkDryRun }) {
  const { preview } = found
  const lossy = preview.by_source.filter((source) => !source.lossless).reduce((sum, source) => sum + source.count, 0)
  const sure = preview.asked - lossy - preview.cannot.reduce((sum, reason) => sum + reason.count, 0)
  return (
    <div className="flex flex-col gap-3 text-sm">
      <p>
        {plural(found.total, 'task')} {found.total === 1 ? 'matches' : 'match'}
        {found.truncated ? ', or more: a job takes the newest 100,000' : ''}. Each runs again as a new task with its original arguments.
      </p>
      <Rows title="By name" rows={found.by_name.map(({ value, count }) => [value ?? 'name not known', count])} mono />
      {found.other_names > 0 && <p className="text-muted">and {plural(found.other_names, 'other name')}</p>}
      {found.not_retryable.length > 0 && <Rows title="Not retried" rows={found.not_retryable.map(({ code, count }) => [reasonWords(code), count])} />}
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
