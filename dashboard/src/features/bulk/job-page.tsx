import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useState, type ReactElement } from 'react'
import { bulkItemsQuery, bulkJobQuery, steerBulkJob, type BulkAction } from '../../api/bulk'
import { explain } from '../../api/client'
import type { BulkItem, BulkJob } from '../../api/types'
import { Actor } from '../../components/ui/actor'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { Callout, Empty, Loading, LoadFailed } from '../../components/ui/notice'
import { PageTitle, Panel } from '../../components/ui/panel'
import { Ago } from '../../components/ui/time'
import { number, percent, plural, shortId } from '../../lib/format'
import { useOperatorReason, useProject } from '../../lib/session'
import { filterWords, jobSentence, reasonWords } from './sentence'

const route = getRouteApi('/bulk/$jobId')

export function BulkJobPage(): ReactElement {
  const { jobId } = route.useParams()
  const query = useQuery(bulkJobQuery(useProject(), jobId))
  if (query.data === undefined) {
    return query.isError ? <LoadFailed error={query.error} what="bulk job" onRetry={() => void query.refetch()} /> : <Loading what="bulk job" />
  }
  return <Job job={query.data} />
}

function Job({ job }: { job: BulkJob }) {
  const { counts } = job
  const bad = job.state === 'stopped' || counts.unknown > 0
  return (
    <div className="flex max-w-4xl flex-col gap-4 p-4">
      <PageTitle>Retry of {plural(counts.total, 'task')}</PageTitle>
      <div role="status" data-testid="bulk-job" data-state={job.state}>
        <Callout tone={bad ? 'bad' : job.state === 'paused' || counts.failed > 0 ? 'warn' : job.state === 'finished' ? 'good' : 'plain'}>
          <div className="flex flex-wrap items-center justify-between gap-2">
            <span>{jobSentence(job)}</span>
            <Steering job={job} />
          </div>
        </Callout>
      </div>
      <Progress job={job} />
      <Panel title="Retried tasks" aside="how they have ended">
        <Figures
          figures={[
            ['Succeeded', counts.succeeded],
            ['Failed again', counts.failed],
            ['Cancelled', counts.revoked],
            ['Not ended', counts.awaited + counts.not_ended],
          ]}
        />
      </Panel>
      {counts.refused > 0 && <Items job={job} state="refused" title="Not retried" reasons={job.refused_by} />}
      {counts.unknown > 0 && <Items job={job} state="unknown" title="Not known whether retried" reasons={undefined} />}
      {counts.accepted > 0 && <OneByOne job={job} />}
      {Object.keys(job.left_out).length > 0 && (
        <Panel title="Left out from the start" aside="matched, and could not be retried">
          <Figures figures={Object.entries(job.left_out).map(([code, amount]) => [reasonWords(code), amount])} />
        </Panel>
      )}
      <p className="text-sm text-muted">
        {job.canary > 0 && `${plural(job.canary, 'task')} first. `}
        {job.rate_per_minute != null && `At most ${number(job.rate_per_minute)} a minute. `}
        {job.stop_above_percent != null && `Stops above ${job.stop_above_percent} % failures. `}
        Made <Ago at={job.created_at} /> by <Actor name={job.created_by} />. {filterWords(job)}
      </p>
    </div>
  )
}

function Progress({ job }: { job: BulkJob }) {
  const { total, accepted, refused, unknown, waiting, claimed } = job.counts
  const done = accepted + refused + unknown
  return (
    <div>
      <div
        role="progressbar"
        aria-label="Tasks that were sent and answered"
        aria-valuenow={done}
        aria-valuemin={0}
        aria-valuemax={total}
        className="h-2 overflow-hidden rounded-full bg-raised"
      >
        <div className="h-full bg-accent" style={{ width: `${total === 0 ? 100 : (done / total) * 100}%` }} />
      </div>
      <p className="mt-1 text-sm">
        {number(done)} of {number(total)} ({percent(done, total)}): {number(accepted)} retried
        {refused > 0 && `, ${number(refused)} not`}
        {unknown > 0 && `, ${number(unknown)} not known`}
        {claimed > 0 && `; ${number(claimed)} sent`}
        {waiting > 0 && `; ${number(waiting)} waiting`}
      </p>
    </div>
  )
}

function Figures({ figures }: { figures: readonly (readonly [string, number])[] }) {
  return (
    <dl className="flex flex-wrap gap-x-8 gap-y-2">
      {figures.map(([name, amount]) => (
        <div key={name}>
          <dt className="text-xs text-muted">{name}</dt>
          <dd className="text-lg font-semibold tabular-nums">{number(amount)}</dd>
        </div>
      ))}
    </dl>
  )
}

function Steering({ job }: { job: BulkJob }) {
  const project = useProject()
  const client = useQueryClient()
  const reason = useOperatorReason()
  const [asking, setAsking] = useState(false)
  const steer = useMutation({
    mutationFn: (action: BulkAction) => steerBulkJob(project, job.id, action),
    onSuccess: (now) => client.setQueryData(bulkJobQuery(project, job.id).queryKey, now),
  })
  if (job.finished_at != null || job.state === 'stopping') return null
  return (
    <span className="flex items-center gap-2">
      {steer.isError && <span className="text-bad">{explain(steer.error)}</span>}
      {job.state === 'running' && (
        <Button reason={reason} onClick={() => steer.mutate('pause')}>
          Pause
        </Button>
      )}
      {job.state === 'paused' && (
        <Button look="primary" reason={reason} onClick={() => steer.mutate('resume')}>
          Resume
        </Button>
      )}
      <Button look="danger" reason={reason} onClick={() => setAsking(true)}>
        Cancel
      </Button>
      {asking && (
        <Dialog title={`Leave ${plural(job.counts.waiting, 'task')} as they are?`} onClose={() => setAsking(false)}>
          <p className="text-sm text-muted">The job sends nothing more, for good. What was retried stays retried.</p>
          <DialogActions>
            <Button onClick={() => setAsking(false)}>Go on retrying</Button>
            <Button
              look="danger"
              onClick={() => {
                steer.mutate('cancel')
                setAsking(false)
              }}
              data-autofocus
            >
              Cancel the job
            </Button>
          </DialogActions>
        </Dialog>
      )}
    </span>
  )
}

/** Every old task with its new one; asked for only when someone wants to see them. */
function OneByOne({ job }: { job: BulkJob }) {
  const [open, setOpen] = useState(false)
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="text-sm text-muted">Each of the {plural(job.counts.accepted, 'retried task')}, with its new one</summary>
      <div className="mt-2">{open && <Items job={job} state="accepted" title="Retried" reasons={undefined} />}</div>
    </details>
  )
}

const outcomeWords = (outcome: string | null | undefined): string =>
  outcome == null ? 'has not ended' : outcome === 'failed' ? 'failed again' : outcome === 'revoked' ? 'was cancelled' : outcome

function Items({ job, state, title, reasons }: { job: BulkJob; state: BulkItem['state']; title: string; reasons: BulkJob['refused_by'] | undefined }) {
  const query = useInfiniteQuery(bulkItemsQuery(useProject(), job.id, state))
  const items = query.data?.pages.flatMap((page) => page.items)
  const aside = reasons && Object.entries(reasons).map(([code, amount]) => `${number(amount)} ${reasonWords(code)}`).join(', ')
  return (
    <Panel title={title} aside={aside ?? ''} flush>
      {items === undefined ? (
        query.isError ? <LoadFailed error={query.error} what="tasks" onRetry={() => void query.refetch()} /> : <Loading what="tasks" />
      ) : items.length === 0 ? (
        <Empty title="None any more" />
      ) : (
        <ul className="max-h-80 divide-y divide-line overflow-y-auto text-sm">
          {items.map((item) => (
            <li key={`${item.engine}/${item.task_id}`} className="flex flex-wrap gap-x-3 px-3 py-1.5">
              <Link to="/tasks/$engine/$taskId" params={{ engine: item.engine, taskId: item.task_id }} className="font-mono text-xs leading-5 underline">
                {shortId(item.task_id)}
              </Link>
              <span className="font-mono text-xs leading-5">{item.name ?? 'name not known'}</span>
              {item.new_task_id == null ? (
                <span className="text-muted">{item.message ?? reasonWords(item.code ?? 'not_answered')}</span>
              ) : (
                <span className="text-muted">
                  →{' '}
                  <Link to="/tasks/$engine/$taskId" params={{ engine: item.engine, taskId: item.new_task_id }} className="font-mono text-xs underline">
                    {shortId(item.new_task_id)}
                  </Link>{' '}
                  {outcomeWords(item.outcome)}
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      {query.hasNextPage && (
        <div className="p-2 text-center">
          <Button look="quiet" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            Show more
          </Button>
        </div>
      )}
    </Panel>
  )
}
