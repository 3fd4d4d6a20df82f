import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import clsx from 'clsx'
import { lazy, Suspense, useCallback, useEffect, useState } from 'react'
import { ApiError } from '../../api/client'
import { taskCountsQuery } from '../../api/queries'
import type { TaskFilter } from '../../api/types'
import { Loading, LoadFailed } from '../../components/ui/notice'
import { Button } from '../../components/ui/button'
import { statesOf } from '../../lib/filter'
import { count } from '../../lib/format'
import { useOperatorReason, useProject } from '../../lib/session'
import { endedBadly, STATES } from '../../lib/states'
import type { TasksSearch } from '../../routes/search'
import { CancelOutcome } from './cancel-outcome'
import { NothingHere, NotUnderstood } from './nothing-here'
import { SearchBox } from './search-box'
import { SelectionBar } from './selection-bar'
import { StateStrip } from './state-strip'
import { TaskList } from './task-list'
import { useCancelPicked } from './use-cancel-picked'
import { useListKeys } from './use-list-keys'
import { useSelection } from './use-selection'
import { useTaskList } from './use-task-list'
import { WindowSelect } from './window-select'

const RetryMatching = lazy(async () => ({ default: (await import('../bulk/retry-matching')).RetryMatching }))
const RetryPicked = lazy(async () => ({ default: (await import('../bulk/retry-picked')).RetryPicked }))

export function TaskBrowser({ filter, openKey }: { filter: TaskFilter; openKey: string | undefined }) {
  const project = useProject()
  const navigate = useNavigate({ from: '/tasks' })
  const [reading, setReading] = useState(false)
  const [selecting, setSelecting] = useState(false)
  const [retryingAll, setRetryingAll] = useState(false)
  const operatorReason = useOperatorReason()
  const { query, tasks, waiting, fresh, showWaiting } = useTaskList(project, filter, reading || selecting)
  // A count follows its list: the same filter, but over every state.
  const counts = useQuery(taskCountsQuery(project, { ...filter, state: undefined }))
  const { selected, isSelected, toggle, clear, selectAll } = useSelection(tasks)
  const { cancelling, start: cancel, dismiss } = useCancelPicked()
  const keys = useListKeys({ tasks, openKey, toggle, selecting: selected.length > 0 })

  const { resetCursor } = keys
  useEffect(() => setSelecting(selected.length > 0), [selected.length])
  useEffect(() => {
    clear()
    resetCursor()
  }, [filter, clear, resetCursor])

  const change = useCallback(
    (part: Partial<TasksSearch>) => void navigate({ to: '/tasks', search: (view) => ({ ...view, ...part }), replace: 'q' in part }),
    [navigate],
  )
  const search = useCallback((q: string) => change({ q: q || undefined }), [change])
  const refused = query.error instanceof ApiError && query.error.status === 400 ? query.error : null
  // What is typed may leave only some states as well.
  const found = STATES.filter((state) => (counts.data?.counts[state]?.count ?? 0) > 0)
  const chosen = filter.state === undefined ? found : statesOf(filter.state)
  const amounts = chosen.every(endedBadly) ? chosen.map((state) => counts.data?.counts[state] ?? { count: 0, more: false }) : []
  const matching = { count: amounts.reduce((sum, amount) => sum + amount.count, 0), more: amounts.some((amount) => amount.more) }
  const { fetchNextPage } = query
  const loadMore = useCallback(() => void fetchNextPage(), [fetchNextPage])

  return (
    <div className="flex min-w-0 flex-1 flex-col bg-surface">
      <h1 className="sr-only">Tasks</h1>
      <div className="border-b border-line">
        <StateStrip counts={counts.data} state={filter.state} />
        <div className="flex items-start gap-2 px-3 pb-2 max-sm:flex-wrap">
          {selected.length > 0 ? (
            <SelectionBar selected={selected} loaded={tasks.length} onCancel={cancel} onSelectAll={selectAll} onClear={clear} />
          ) : (
            <>
              <SearchBox value={filter.q ?? ''} onChange={search} problem={refused?.message} />
              {matching.count > 0 && (
                <Button reason={operatorReason} className="py-1.5!" onClick={() => setRetryingAll(true)}>
                  Retry all {count(matching)}
                </Button>
              )}
              <WindowSelect since={filter.since} until={filter.until} onChange={(since) => change({ since, until: undefined })} />
            </>
          )}
        </div>
        {cancelling && <CancelOutcome cancelling={cancelling} onDismiss={dismiss} />}
      </div>
      <div className={clsx('relative flex min-h-0 flex-1 flex-col', query.isPlaceholderData && 'opacity-60')}>
        {query.data === undefined ? (
          refused ? (
            <NotUnderstood onClear={() => search('')} />
          ) : query.isError ? (
            <LoadFailed error={query.error} what="tasks" onRetry={() => void query.refetch()} />
          ) : (
            <Loading what="tasks" />
          )
        ) : tasks.length === 0 && !query.hasNextPage ? (
          <NothingHere filter={filter} />
        ) : (
          <TaskList
            key={JSON.stringify(filter)}
            tasks={tasks}
            cursor={keys.cursor}
            openKey={openKey}
            fresh={fresh}
            isSelected={isSelected}
            onSelect={toggle}
            onHold={setReading}
            waiting={waiting}
            onShowWaiting={showWaiting}
            hasMore={query.hasNextPage}
            loadingMore={query.isFetchingNextPage}
            onLoadMore={loadMore}
          />
        )}
      </div>
      {retryingAll && (
        <Suspense>
          <RetryMatching filter={filter} onClose={() => setRetryingAll(false)} />
        </Suspense>
      )}
      {keys.retrying && (
        <Suspense>
          <RetryPicked tasks={[keys.retrying]} onClose={keys.stopRetrying} />
        </Suspense>
      )}
    </div>
  )
}
