import { useState } from 'react'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'

const SIGNALS = {
  SIGTERM: 'SIGTERM: asks the process to stop',
  SIGINT: 'SIGINT: as Ctrl-C would',
  SIGUSR1: 'SIGUSR1: raises the soft time limit',
  SIGKILL: 'SIGKILL: stops it at once, nothing is cleaned up',
} as const

interface Props {
  task: Task
  onClose: () => void
  onConfirm: (terminate: boolean, signal: string) => void
}

export function CancelDialog({ task, onClose, onConfirm }: Props) {
  const running = task.state === 'started'
  const [terminate, setTerminate] = useState(running)
  const [signal, setSignal] = useState('SIGTERM')
  return (
    <Dialog title="Cancel this task?" onClose={onClose}>
      <p className="mb-2 text-sm">
        <span className="font-mono">{task.name ?? task.task_id}</span>
      </p>
      {running ? (
        <div className="flex flex-col gap-2 text-sm">
          <label className="flex items-center gap-2">
            <input type="checkbox" className="accent-accent" checked={terminate} onChange={(event) => setTerminate(event.target.checked)} />
            Terminate it: it is running{task.worker != null && ` on ${task.worker}`}
          </label>
          {terminate ? (
            <label className="flex flex-col gap-1">
              Signal
              <select value={signal} onChange={(event) => setSignal(event.target.value)} className="rounded-md border border-line bg-surface px-2 py-1">
                {Object.entries(SIGNALS).map(([name, meaning]) => (
                  <option key={name} value={name}>
                    {meaning}
                  </option>
                ))}
              </select>
            </label>
          ) : (
            <p className="text-muted">Without terminating it, this run goes on to its end; only later attempts are prevented.</p>
          )}
        </div>
      ) : (
        <p className="text-sm text-muted">It has not begun. Workers will drop it when they reach it.</p>
      )}
      <DialogActions>
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" onClick={() => onConfirm(running && terminate, signal)}>
          {running && terminate ? 'Terminate task' : 'Cancel task'}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
