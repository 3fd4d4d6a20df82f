import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { number, plural } from '../../lib/format'

interface Props {
  action: 'retry' | 'cancel'
  tasks: readonly Task[]
  onClose: () => void
  onConfirm: () => void
}

export function ConfirmBulk({ action, tasks, onClose, onConfirm }: Props) {
  const names = new Map<string, number>()
  for (const task of tasks) names.set(task.name ?? 'name not known', (names.get(task.name ?? 'name not known') ?? 0) + 1)
  const running = tasks.filter((task) => task.state === 'started').length
  const noun = plural(tasks.length, 'task')
  return (
    <Dialog title={action === 'retry' ? `Retry ${noun}?` : `Cancel ${noun}?`} onClose={onClose}>
      <ul className="mb-2 max-h-40 overflow-y-auto text-sm">
        {[...names].map(([name, amount]) => (
          <li key={name} className="flex justify-between gap-4">
            <span className="truncate font-mono text-xs leading-5">{name}</span>
            <span>{number(amount)}</span>
          </li>
        ))}
      </ul>
      <p className="text-sm text-muted">
        {action === 'retry'
          ? 'Each runs again as a new task with its original arguments. A task whose arguments are no longer available is left as it is, and listed.'
          : `They will not run. ${running > 0 ? `${plural(running, 'task')} already running will finish; open a task to terminate it.` : ''}`}
      </p>
      <DialogActions>
        <Button onClick={onClose}>{action === 'retry' ? 'Leave them' : 'Keep them'}</Button>
        <Button look={action === 'retry' ? 'primary' : 'danger'} onClick={onConfirm} data-autofocus>
          {action === 'retry' ? `Retry ${noun}` : `Cancel ${noun}`}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
