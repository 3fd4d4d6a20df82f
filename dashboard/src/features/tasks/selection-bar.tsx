import { useState } from 'react'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { plural } from '../../lib/format'
import { useKeys } from '../../lib/keyboard'
import { useOperatorReason } from '../../lib/session'
import { endedBadly, isOver } from '../../lib/states'
import type { BulkActions } from './use-bulk-actions'
import { ConfirmBulk } from './confirm-bulk'

interface Props {
  selected: readonly Task[]
  loaded: number
  bulk: BulkActions
  onSelectAll: () => void
  onClear: () => void
}

/** Stands in place of the toolbar while tasks are selected, with only what can be done with them. */
export function SelectionBar({ selected, loaded, bulk, onSelectAll, onClear }: Props) {
  const [asking, setAsking] = useState<'retry' | 'cancel' | null>(null)
  const reason = useOperatorReason()
  const toRetry = selected.filter((task) => endedBadly(task.state))
  const toCancel = selected.filter((task) => !isOver(task.state))
  useKeys({ Escape: onClear, r: () => toRetry.length > 0 && reason === undefined && setAsking('retry') })

  return (
    <div role="toolbar" aria-label="Selected tasks" className="flex min-h-9 min-w-0 flex-1 flex-wrap items-center gap-2">
      <span className="text-sm font-medium" role="status">
        {plural(selected.length, 'task')} selected
      </span>
      <span className="text-sm text-warn max-sm:hidden">New tasks wait</span>
      {toRetry.length > 0 && (
        <Button look="primary" reason={reason} onClick={() => setAsking('retry')}>
          Retry {plural(toRetry.length, 'task')}
        </Button>
      )}
      {toCancel.length > 0 && (
        <Button look="danger" reason={reason} onClick={() => setAsking('cancel')}>
          Cancel {plural(toCancel.length, 'task')}
        </Button>
      )}
      {toRetry.length + toCancel.length === 0 && <span className="text-sm text-muted">Nothing to do: these tasks succeeded. Open one to run it again.</span>}
      {selected.length < loaded && (
        <Button look="quiet" onClick={onSelectAll}>
          Select all {loaded} loaded
        </Button>
      )}
      <Button look="quiet" onClick={onClear}>
        Clear
      </Button>
      {asking && (
        <ConfirmBulk
          action={asking}
          tasks={asking === 'retry' ? toRetry : toCancel}
          onClose={() => setAsking(null)}
          onConfirm={() => {
            bulk.start(asking, asking === 'retry' ? toRetry : toCancel)
            setAsking(null)
            onClear()
          }}
        />
      )}
    </div>
  )
}
