import { useState } from 'react'
import type { RetryOverride } from '../../api/commands'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { useKeys } from '../../lib/keyboard'
import { useOperatorReason } from '../../lib/session'
import { isOver, stateWords } from '../../lib/states'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { CancelDialog } from './cancel-dialog'
import { RetryForm } from './retry-form'

type Asking = 'cancel' | 'retry' | 'changed' | null

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

  const retry = (override?: RetryOverride) => {
    setAsking(null)
    sent.send({ cmd: 'retry_task', args: { engine, task_id, ...(override && { override }) } })
  }
  // What is going to be sent is shown before it is. Beside the list the key belongs to the list.
  useKeys({ r: () => ownPage && retryReason === undefined && setAsking('retry') })

  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap gap-2">
        <Button look={over && task.state !== 'succeeded' ? 'primary' : 'plain'} reason={retryReason} title="Shows what would be sent: it runs again as a new task, with the original arguments" onClick={() => setAsking('retry')}>
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
      {(asking === 'retry' || asking === 'changed') && (
        <RetryForm task={task} repeats={repetition(task.state)} changed={asking === 'changed'} onClose={() => setAsking(null)} onConfirm={retry} />
      )}
    </div>
  )
}

/** What running it again would do a second time, for certain or perhaps. */
function repetition(state: Task['state']): string {
  if (state === 'succeeded') return 'It succeeded: running it again repeats whatever it did.'
  if (state === 'lost') return 'Nobody knows how far it came: running it again repeats what it did before it was lost, and all of it if it still runs somewhere.'
  return ''
}
