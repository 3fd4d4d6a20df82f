import { useId, useState, type ReactNode } from 'react'
import type { Worker } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import type { KnownValues } from '../../lib/filter'
import { CommandOutcome } from '../commands/command-outcome'
import { asked } from '../commands/sentence'
import { useSendCommand } from '../commands/use-send-command'
import { useKnownValues } from '../tasks/known-values'
import { actions, actionWords, makeOrder, type Action, type Typed } from './worker-order'
import { WorkerReplies } from './worker-replies'

const field = 'rounded-md border border-line bg-ground px-2 py-1.5'

/** Orders to one worker, with what it replied. */
export function WorkerDialog({ worker, onClose }: { worker: Worker; onClose: () => void }) {
  const [action, setAction] = useState<Action>('ping')
  const [typed, setTyped] = useState<Typed>({ n: '1', taskName: '', rate: '', queue: '' })
  const sent = useSendCommand()
  const made = makeOrder(action, typed)
  const known = useKnownValues(true)
  const type = (change: Partial<Typed>) => setTyped({ ...typed, ...change })
  return (
    <Dialog title={`Order to ${worker.name}`} onClose={onClose}>
      <div className="flex flex-col gap-3 text-sm">
        <Labelled text="What it is to do">
          <select className={field} value={action} data-autofocus onChange={(event) => setAction(event.target.value as Action)}>
            {actions.map((name) => (
              <option key={name} value={name}>
                {actionWords[name]}
              </option>
            ))}
          </select>
        </Labelled>
        <Fields action={action} worker={worker} typed={typed} type={type} known={known} />
        <p className="text-muted">{consequence(action, worker)}</p>
        {/* The order may be another by now: what the outcome is of stands above it. */}
        <div>
          {sent.data && <p className="mb-1 text-muted">{asked(sent.data)}</p>}
          <CommandOutcome sent={sent} after={(command) => command.status === 'succeeded' && <WorkerReplies command={command} />} />
        </div>
      </div>
      <DialogActions>
        <Button onClick={onClose}>Close</Button>
        <Button
          look={action === 'shutdown' ? 'danger' : 'primary'}
          reason={made.ok ? undefined : made.why}
          onClick={() => made.ok && sent.send({ cmd: 'worker_control', args: { engine: worker.engine, worker: worker.name, ...made.order } })}
        >
          {action === 'shutdown' ? `Shut down ${worker.name}` : actionWords[action]}
        </Button>
      </DialogActions>
    </Dialog>
  )
}

interface FieldsProps {
  action: Action
  worker: Worker
  typed: Typed
  type: (change: Partial<Typed>) => void
  known: KnownValues
}

function Fields({ action, worker, typed, type, known }: FieldsProps) {
  const list = useId()
  switch (action) {
    case 'pool_grow':
    case 'pool_shrink':
      return (
        <Labelled text={`By how many (it runs ${worker.concurrency ?? 'an unknown number'} at once)`}>
          <input type="number" min={1} max={1000} className={field} value={typed.n} onChange={(event) => type({ n: event.target.value })} />
        </Labelled>
      )
    case 'rate_limit':
      return (
        <>
          <Labelled text="Task">
            <input list={list} className={field} value={typed.taskName} spellCheck={false} autoComplete="off" onChange={(event) => type({ taskName: event.target.value })} />
          </Labelled>
          <Offered id={list} values={known.name} />
          <Labelled text="At most (10/s, 100/m, 1000/h; 0 for no limit)">
            <input className={field} value={typed.rate} spellCheck={false} autoComplete="off" onChange={(event) => type({ rate: event.target.value })} />
          </Labelled>
        </>
      )
    case 'add_consumer':
    case 'cancel_consumer':
      return (
        <>
          <Labelled text={worker.queues.length > 0 ? `Queue (it consumes ${worker.queues.join(', ')})` : 'Queue'}>
            <input list={list} className={field} value={typed.queue} spellCheck={false} autoComplete="off" onChange={(event) => type({ queue: event.target.value })} />
          </Labelled>
          <Offered id={list} values={action === 'cancel_consumer' ? worker.queues : known.queue.filter((queue) => !worker.queues.includes(queue))} />
        </>
      )
    default:
      return null
  }
}

/** What a field can be filled with; anything else may be typed. */
function Offered({ id, values }: { id: string; values: readonly string[] }) {
  return (
    <datalist id={id}>
      {values.map((value) => (
        <option key={value} value={value} />
      ))}
    </datalist>
  )
}

function Labelled({ text, children }: { text: string; children: ReactNode }) {
  return (
    <label className="flex flex-col gap-1">
      {text}
      {children}
    </label>
  )
}

function consequence(action: Action, worker: Worker): string {
  switch (action) {
    case 'ping':
      return 'It only answers that it is there.'
    case 'shutdown':
      return `${worker.name} finishes what it runs, puts back what it has not begun, and ends. It comes back only if something starts it again.`
    default:
      return 'This lasts until the worker restarts.'
  }
}
