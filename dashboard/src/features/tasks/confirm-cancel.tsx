import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { number, plural } from '../../lib/format'

interface Props {
  tasks: readonly Task[]
  onClose: () => void
  onConfirm: () => void
}

/** Asks, by name, before picked tasks are cancelled. */
export function ConfirmCancel({ tasks, onClose, onConfirm }: Props) {
  const names = new Map<string, number>()
  for (const task of tasks) names.set(task.name ?? 'name not known', (names.get(task.name ?? 'name not known') ?? 0) + 1)
  const running = tasks.filter((task) => task.state === 'started').length
  const noun = plural(tasks.length, 'task')
  return (
    <Dialog title={`Cancel ${noun}?`} onClose={onClose}>
      <ul className="mb-2 max-h-40 overflow-y-auto text-sm">
        {[...names].map(([name, amount]) => (
          <li key={name} className="flex justify-between gap-4">
            <span className="truncate font-mono text-xs leading-5">{name}</span>
            <span>{number(amount)}</span>
          </li>
        ))}
      </ul>
      <p className="text-sm text-muted">They will not run. {running > 0 && `${plural(running, 'task')} already running will finish; open a task to terminate it.`}</p>
      <DialogActions>
        <Button onClick={onClose}>Keep them</Button>
        <Button look="danger" onClick={onConfirm} data-autofocus>
          Cancel {noun}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
