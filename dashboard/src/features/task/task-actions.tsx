import { useState } from 'react'
import type { RetryOverride } from '../../api/commands'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { useKeys } from '../../lib/keyboard'
import { useOperatorReason } from '../../lib/session'
import { isOver, stateWords } from '../../lib/states'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { CancelDialog } from './cancel-dialog'
import { RetryForm } from './retry-form'

type Asking = 'cancel' | 'again' | 'changed' | null

/** Retry and cancel, with what came of them in place. */
export function TaskActions({ task, ownPage }: { task: Task; ownPage: boolean }) {
  const [asking, setAsking] = useState<Asking>(null)
  const sent = useSendCommand()
  const viewer = useOperatorReason()
  const over = isOver(task.state)
  const word = stateWords[task.state].word.toLowerCase()
  const retryReason = viewer ?? (over ? undefined : `This task is not over (${word}). Cancel it first, or wait for its end.`)
  const cancelReason = viewer ?? (over ? `This task is already over (${word}).` : undefined)
  const { engine, task_id } = task
  const repeats = repetition(task.state)

  const retry = (override?: RetryOverride) => {
    setAsking(null)
    sent.send({ cmd: 'retry_task', args: { engine, task_id, ...(override && { override }) } })
  }
  // Running something twice that did its work, or may have, is asked about; running again what failed is not.
  const askRetry = () => (repeats === '' ? retry() : setAsking('again'))
  // Beside the list the key belongs to the list; and a key pressed by mistake must not run anything.
  useKeys({ r: () => ownPage && retryReason === undefined && setAsking('again') })

  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap gap-2">
        <Button look={over && task.state !== 'succeeded' ? 'primary' : 'plain'} reason={retryReason} title="Runs again as a new task, with the original arguments" onClick={askRetry}>
          Retry
        </Button>
        <Button reason={retryReason} onClick={() => setAsking('changed')}>
          Run with other arguments…
        </Button>
        <Button look="danger" reason={cancelReason} onClick={() => setAsking('cancel')}>
          Cancel…
        </Button>
      </div>
      <CommandOutcome
        sent={sent}
        after={(command) =>
          command.error === 'no_original_payload' && (
            <div className="mt-2">
              <Button onClick={() => setAsking('changed')}>Supply the arguments…</Button>
            </div>
          )
        }
      />
      {asking === 'cancel' && (
        <CancelDialog
          task={task}
          onClose={() => setAsking(null)}
          onConfirm={(terminate, signal) => {
            setAsking(null)
            sent.send({ cmd: 'cancel_task', args: { engine, task_id, terminate, ...(terminate && { signal }) } })
          }}
        />
      )}
      {asking === 'changed' && <RetryForm task={task} onClose={() => setAsking(null)} onConfirm={retry} />}
      {asking === 'again' && (
        <Dialog title="Retry this task?" onClose={() => setAsking(null)}>
          <p className="text-sm text-muted">
            {repeats}
            {task.name ?? 'It'} runs again as a new task, with its original arguments.
          </p>
          <DialogActions>
            <Button onClick={() => setAsking(null)}>Leave it</Button>
            <Button look="primary" data-autofocus onClick={() => retry()}>
              Retry 1 task
            </Button>
          </DialogActions>
        </Dialog>
      )}
    </div>
  )
}

/** What running it again would do a second time, for certain or perhaps. */
function repetition(state: Task['state']): string {
  if (state === 'succeeded') return 'It succeeded: running it again repeats whatever it did. '
  if (state === 'lost') return 'Nobody knows how far it came: running it again repeats what it did before it was lost, and all of it if it still runs somewhere. '
  return ''
}
