import { lazy, Suspense, useState } from 'react'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { number, plural } from '../../lib/format'
import { useKeys } from '../../lib/keyboard'
import { useOperatorReason } from '../../lib/session'
import { endedBadly, isOver } from '../../lib/states'
import { ConfirmCancel } from './confirm-cancel'

const RetryPicked = lazy(async () => ({ default: (await import('../bulk/retry-picked')).RetryPicked }))

/** As many tasks can be picked for one bulk job. */
const MAX_PICKED = 1000

interface Props {
  selected: readonly Task[]
  loaded: number
  onCancel: (tasks: readonly Task[]) => void
  onSelectAll: () => void
  onClear: () => void
}

/** Stands in place of the toolbar while tasks are selected, with only what can be done with them. */
export function SelectionBar({ selected, loaded, onCancel, onSelectAll, onClear }: Props) {
  const [asking, setAsking] = useState<'retry' | 'cancel' | null>(null)
  const reason = useOperatorReason()
  const failed = selected.filter((task) => endedBadly(task.state)).length
  const toRetry = failed > 0 ? failed : selected.filter((task) => isOver(task.state)).length
  const toCancel = selected.filter((task) => !isOver(task.state))
  const tooMany = toRetry > 0 && selected.length > MAX_PICKED ? `A bulk job takes at most ${number(MAX_PICKED)} picked tasks.` : undefined
  const close = () => setAsking(null)
  useKeys({ Escape: onClear, r: () => toRetry > 0 && (reason ?? tooMany) === undefined && setAsking('retry') })

  return (
    <div role="toolbar" aria-label="Selected tasks" className="flex min-h-9 min-w-0 flex-1 flex-wrap items-center gap-2">
      <span className="text-sm font-medium" role="status">
        {plural(selected.length, 'task')} selected
      </span>
      <span className="text-sm text-warn max-sm:hidden">New tasks wait</span>
      {toRetry > 0 && (
        <Button look="primary" reason={reason ?? tooMany} onClick={() => setAsking('retry')}>
          Retry {plural(toRetry, 'task')}
        </Button>
      )}
      {toCancel.length > 0 && (
        <Button look="danger" reason={reason} onClick={() => setAsking('cancel')}>
          Cancel {plural(toCancel.length, 'task')}
        </Button>
      )}
      {tooMany !== undefined && <span className="text-sm text-warn">{tooMany} To retry more, clear the selection and retry all that match.</span>}
      {selected.length < loaded && (
        <Button look="quiet" onClick={onSelectAll}>
          Select all {number(loaded)} loaded
        </Button>
      )}
      <Button look="quiet" onClick={onClear}>
        Clear
      </Button>
      {asking === 'retry' && (
        <Suspense>
          <RetryPicked tasks={selected} onClose={close} />
        </Suspense>
      )}
      {asking === 'cancel' && (
        <ConfirmCancel
          tasks={toCancel}
          onClose={close}
          onConfirm={() => {
            onCancel(toCancel)
            close()
            onClear()
          }}
        />
      )}
    </div>
  )
}
