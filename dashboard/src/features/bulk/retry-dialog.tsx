import { useMutation, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState, type ReactElement, type ReactNode } from 'react'
import { bulkDryRunQuery, createBulkRetry, type BulkWanted } from '../../api/bulk'
import { ApiError, explain } from '../../api/client'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { Callout, Loading } from '../../components/ui/notice'
import { plural } from '../../lib/format'
import { randomId } from '../../lib/random-id'
import { useProject } from '../../lib/session'
import { DryRun, runnable } from './dry-run'

interface Props {
  wanted: BulkWanted
  /** Asked until it is known how many there are: "Retry all that match?" */
  title: string
  /** Said when none of them can be retried. */
  nothing: string
  onClose: () => void
  /** What else there is to say or to choose of them. */
  children?: ReactNode
}

const DEFAULTS = { canary: 5, rate_per_minute: 600, stop_above_percent: 50 }
const FIELDS = [
  { key: 'canary', label: 'First retry', unit: 'tasks, and wait how they end', max: 1000, min: 0 },
  { key: 'rate_per_minute', label: 'Then at most', unit: 'a minute', max: 60_000, min: 1 },
  { key: 'stop_above_percent', label: 'Stop when more than', unit: '% fail again', max: 100, min: 0 },
] as const

/** Looks, on the server, at what a retry of many tasks would do, and only then offers to do it. */
export function RetryDialog({ wanted, title, nothing, onClose, children }: Props): ReactElement {
  const project = useProject()
  const navigate = useNavigate()
  const [plan, setPlan] = useState(DEFAULTS)
  const [key] = useState(randomId)
  const look = useQuery(bulkDryRunQuery(project, wanted))
  const found = look.data
  const picked = wanted.filter.ids?.length
  // One task by itself needs no pace.
  const isPaced = (found?.retryable ?? picked ?? 2) > 1
  const start = useMutation({
    mutationFn: (expected: number) => createBulkRetry(project, wanted, { ...(isPaced && plan), expected_count: expected }, key),
    onSuccess: (job) => void navigate({ to: '/bulk/$jobId', params: { jobId: job.id } }),
  })
  const hasChanged = start.error instanceof ApiError && start.error.code === 'count_changed'
  const fits = FIELDS.every(({ key: field, min, max }) => Number.isInteger(plan[field]) && plan[field] >= min && plan[field] <= max)
  const can = found && runnable(found)
  const noun = can === undefined ? undefined : plural(can, 'task')
  const why = found === undefined || look.isPlaceholderData ? 'Still counting.' : can === 0 ? nothing : fits || !isPaced ? undefined : 'A number below is out of its range.'
  return (
    <Dialog title={found === undefined ? title : `Retry ${noun}?`} onClose={onClose} wide>
      {found === undefined ? look.isError ? <Callout tone="bad">{explain(look.error)}</Callout> : <Loading what="what would be retried" /> : <DryRun found={found} picked={picked} />}
      {children}
      {isPaced && (
        <fieldset className="mt-3 grid grid-cols-[auto_1fr] gap-x-2 gap-y-1.5 border-t border-line pt-3 text-sm sm:grid-cols-[auto_auto_1fr]">
          <legend className="sr-only">How to go about it</legend>
          {FIELDS.map(({ key: field, label, unit, min, max }) => (
            <label key={field} className="col-span-full grid grid-cols-subgrid items-center">
              <span className="max-sm:col-span-full">{label}</span>
              <input
                type="number"
                min={min}
                max={max}
                value={Number.isNaN(plan[field]) ? '' : plan[field]}
                onChange={(event) => setPlan((before) => ({ ...before, [field]: event.target.valueAsNumber }))}
                className="w-20 rounded-md border border-line bg-ground px-2 py-1 text-right"
              />
              {unit}
            </label>
          ))}
        </fieldset>
      )}
      {start.isError && (
        <div role="alert" className="mt-3">
          <Callout tone="bad">{explain(start.error)}</Callout>
        </div>
      )}
      <DialogActions>
        <Button onClick={onClose}>{found?.retryable === 1 ? 'Leave it' : 'Leave them'}</Button>
        {(look.isError || start.isError) && <Button onClick={() => void look.refetch().then(() => start.reset())}>Look again</Button>}
        <Button look="primary" reason={start.isPending ? 'The job is being made.' : hasChanged ? 'Look again first: it is another number of tasks by now.' : why} onClick={() => found && start.mutate(found.retryable)} data-autofocus>
          Retry {noun ?? 'them'}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
