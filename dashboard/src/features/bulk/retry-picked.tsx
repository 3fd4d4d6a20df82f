import { useState, type ReactElement } from 'react'
import type { Task } from '../../api/types'
import { Callout } from '../../components/ui/notice'
import { plural } from '../../lib/format'
import { endedBadly } from '../../lib/states'
import { RetryDialog } from './retry-dialog'

/** Asks before tasks that were picked one by one are retried. */
export function RetryPicked({ tasks, onClose }: { tasks: readonly Task[]; onClose: () => void }): ReactElement {
  // What was picked stays what is asked about, whatever becomes of it meanwhile.
  const [picked] = useState(tasks)
  const succeeded = picked.filter((task) => task.state === 'succeeded').length
  const isMixed = picked.some((task) => endedBadly(task.state))
  // Picked among failures, a success may be there by mistake; picked by itself, it is meant.
  const [again, setAgain] = useState(!isMixed && succeeded > 0)
  return (
    <RetryDialog
      wanted={{ filter: { ids: picked.map((task) => task.task_id) }, include: again ? ['succeeded'] : [] }}
      title={`Retry ${picked.length === 1 ? 'the picked task' : 'the picked tasks'}?`}
      nothing="None of the picked tasks can be retried."
      onClose={onClose}
    >
      {succeeded > 0 && (
        <div className="mt-3">
          {isMixed ? (
            <label className="flex items-start gap-2 text-sm">
              <input type="checkbox" checked={again} onChange={(event) => setAgain(event.target.checked)} className="mt-0.5 size-4 shrink-0 accent-accent" />
              <span>
                Run the {plural(succeeded, 'task')} that succeeded again, too. <span className="text-muted">Each repeats whatever it did.</span>
              </span>
            </label>
          ) : (
            <Callout tone="warn">{succeeded === 1 ? 'It succeeded: running it again repeats whatever it did.' : `${plural(succeeded, 'task')} succeeded: running them again repeats whatever they did.`}</Callout>
          )}
        </div>
      )}
    </RetryDialog>
  )
}
