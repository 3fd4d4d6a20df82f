import { useMutation, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState, type ReactElement } from 'react'
import { bulkDryRunQuery, createBulkRetry } from '../../api/bulk'
import { explain } from '../../api/client'
import type { TaskFilter } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { Callout, Loading } from '../../components/ui/notice'
import { plural } from '../../lib/format'
import { randomId } from '../../lib/random-id'
import { useProject } from '../../lib/session'
import { DryRun } from './dry-run'

interface Props {
  filter: TaskFilter
  onClose: () => void
}

const DEFAULTS = { canary: 5, rate_per_minute: 600, stop_above_percent: 50 }
const FIELDS = [
  { key: 'canary', label: 'First retry', unit: 'tasks, and wait how they end', max: 1000, min: 0 },
  { key: 'rate_per_minute', label: 'Then at most', unit: 'a minute', max: 60_000, min: 1 },
  { key: 'stop_above_percent', label: 'Stop when more than', unit: '% fail again', max: 100, min: 0 },
] as const

/** Looks, on the server, at what a retry of everything that matches would do, and only then offers to do it. */
export function RetryMatching({ filter, onClose }: Props): ReactElement {
  const project = useProject()
  const navigate = useNavigate()
  const [plan, setPlan] = useState(DEFAULTS)
  const [key] = useState(randomId)
  const look = useQuery(bulkDryRunQuery(project, filter))
  const start = useMutation({
    mutationFn: (expected: number) => createBulkRetry(project, filter, { ...plan, expected_count: expected }, key),
    onSuccess: (job) => void navigate({ to: '/bulk/$jobId', params: { jobId: job.id } }),
  })
  const found = look.data
  const fits = FIELDS.every(({ key: field, min, max }) => Number.isInteger(plan[field]) && plan[field] >= min && plan[field] <= max)
  const noun = found && plural(found.retryable, 'task')
  const why = found === undefined ? 'Still counting.' : found.retryable === 0 ? 'Nothing that matches can be retried.' : fits ? undefined : 'A number below is out of its range.'
  return (
    <Dialog title={found === undefined ? 'Retry all that match?' : `Retry ${noun}?`} onClose={onClose} wide>
      {found === undefined ? look.isError ? <Callout tone="bad">{explain(look.error)}</Callout> : <Loading what="what would be retried" /> : <DryRun found={found} />}
      <fieldset className="mt-3 flex flex-col gap-1.5 border-t border-line pt-3 text-sm">
        <legend className="sr-only">How to go about it</legend>
        {FIELDS.map(({ key: field, label, unit, min, max }) => (
          <label key={field} className="flex flex-wrap items-center gap-2">
            {label}
            <input
              type="number"
              min={min}
              max={max}
              value={Number.isNaN(plan[field]) ? '' : plan[field]}
              onChange={(event) => setPlan((before) => ({ ...before, [field]: event.target.valueAsNumber }))}
              className="w-24 rounded-md border border-line bg-ground px-2 py-1 text-right"
            />
            {unit}
          </label>
        ))}
      </fieldset>
      {start.isError && (
        <div role="alert" className="mt-3">
          <Callout tone="bad">{explain(start.error)}</Callout>
        </div>
      )}
      <DialogActions>
        <Button onClick={onClose}>Leave them</Button>
        {(look.isError || start.isError) && <Button onClick={() => void look.refetch().then(() => start.reset())}>Look again</Button>}
        <Button look="primary" reason={start.isPending ? 'The job is being made.' : why} onClick={() => found && start.mutate(found.retryable)} data-autofocus>
          Retry {noun ?? 'them'}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
