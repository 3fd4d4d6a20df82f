import { useId, useState, type ReactNode } from 'react'
import type { RetryOverride } from '../../api/commands'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { elsewhere, hasRedaction, parseArguments } from './override'
import { RetryPreviewView, useRetryPreview } from './retry-preview-view'

interface Props {
  task: Task
  /** What running it again would do a second time; empty when nothing. */
  repeats: string
  /** What is sent is to be changed from the start. */
  changed: boolean
  onClose: () => void
  /** Without an override, as it was. */
  onConfirm: (override?: RetryOverride) => void
}

const initial = (value: unknown, fallback: string) => (value == null ? fallback : JSON.stringify(value, null, 2))

/** Shows what a retry sends, and runs the task as it was, elsewhere, later, or with arguments given by hand where the original ones are gone or wrong. */
export function RetryForm({ task, repeats, changed, onClose, onConfirm }: Props) {
  const [changes, setChanges] = useState(changed)
  const [args, setArgs] = useState(() => initial(task.args_redacted, '[]'))
  const [kwargs, setKwargs] = useState(() => initial(task.kwargs_redacted, '{}'))
  const [queue, setQueue] = useState('')
  const [after, setAfter] = useState('')
  const [others, setOthers] = useState(changed)
  const parsed = parseArguments(args, kwargs)
  const hidden = parsed.ok && hasRedaction([parsed.override.args, parsed.override.kwargs])
  const reason = !parsed.ok ? parsed.why : hidden ? 'Replace the hidden values first: a marker such as <email> would be sent as it stands.' : undefined
  const message = useId()
  const where = elsewhere(queue, after)
  const override = !others ? where : parsed.ok && !hidden ? { ...parsed.override, ...where } : null
  const { answer, waiting } = useRetryPreview(task, override)
  const unseen = answer === null ? 'The agent has not said yet what would be sent.' : answer.can ? undefined : 'It cannot be retried like this: see above.'
  const name = task.name ?? 'the task'
  return (
    <Dialog title={changes ? `Run ${name} again` : `Retry ${name}?`} wide onClose={onClose}>
      {repeats !== '' && <p className="mb-3 text-sm">{repeats}</p>}
      <RetryPreviewView answer={answer} waiting={waiting} />
      {changes && (
        <>
          <fieldset className="mb-2 flex gap-4 text-sm">
            <legend className="mb-1 font-semibold">Arguments</legend>
            <Choice checked={!others} onChoose={() => setOthers(false)}>
              Its own
            </Choice>
            <Choice checked={others} onChoose={() => setOthers(true)}>
              Others
            </Choice>
          </fieldset>
          {others && (
            <>
              <p className="mb-3 text-sm text-muted">Values shown in angle brackets were hidden before they left their host; the brain does not have them.</p>
              <Editor label="Arguments (a JSON array)" value={args} onChange={setArgs} describedBy={message} />
              <Editor label="Keyword arguments (a JSON object)" value={kwargs} onChange={setKwargs} describedBy={message} />
              <p id={message} role="status" className="min-h-5 text-sm text-bad">
                {reason}
              </p>
            </>
          )}
          <h3 className="mt-2 mb-1 text-sm font-semibold">Elsewhere, or later</h3>
          <div className="grid gap-2 sm:grid-cols-2">
            <Field label="Queue (its own when empty)">
              <input value={queue} onChange={(event) => setQueue(event.target.value)} autoComplete="off" spellCheck={false} className={`${field} font-mono`} />
            </Field>
            <Field label="Not before (in this computer's zone)">
              <input type="datetime-local" value={after} onChange={(event) => setAfter(event.target.value)} className={field} />
            </Field>
          </div>
        </>
      )}
      <DialogActions>
        <Button onClick={onClose}>Leave it</Button>
        {!changes && <Button onClick={() => setChanges(true)}>Change it first…</Button>}
        <Button look="primary" reason={(others ? reason : undefined) ?? unseen} onClick={() => onConfirm(override ?? undefined)} data-autofocus>
          Retry 1 task
        </Button>
      </DialogActions>
    </Dialog>
  )
}

const field = 'rounded-md border border-line bg-ground px-2 py-1.5 text-xs'

function Field({ label, children }: { label: string; children: ReactNode }) {
  return (
    <label className="flex flex-col gap-1 text-sm">
      {label}
      {children}
    </label>
  )
}

function Choice({ checked, onChoose, children }: { checked: boolean; onChoose: () => void; children: ReactNode }) {
  return (
    <label className="flex items-center gap-1.5">
      <input type="radio" name="arguments" checked={checked} onChange={onChoose} />
      {children}
    </label>
  )
}

function Editor({ label, value, onChange, describedBy }: { label: string; value: string; onChange: (value: string) => void; describedBy: string }) {
  return (
    <label className="mb-2 flex flex-col gap-1 text-sm">
      {label}
      <textarea
        value={value}
        rows={Math.min(10, Math.max(3, value.split('\n').length))}
        spellCheck={false}
        aria-describedby={describedBy}
        onChange={(event) => onChange(event.target.value)}
        className="rounded-md border border-line bg-ground p-2 font-mono text-xs"
      />
    </label>
  )
}
