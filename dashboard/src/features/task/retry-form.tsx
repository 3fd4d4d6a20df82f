import { useId, useState } from 'react'
import type { RetryOverride } from '../../api/commands'
import type { Task } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { hasRedaction, parseArguments } from './override'
import { RetryPreviewView, useRetryPreview } from './retry-preview-view'

interface Props {
  task: Task
  onClose: () => void
  /** Without an override, as it was. */
  onConfirm: (override?: RetryOverride) => void
}

const initial = (value: unknown, fallback: string) => (value == null ? fallback : JSON.stringify(value, null, 2))

/** Shows what a retry sends, and runs the task as it was or with arguments given by hand, where the original ones are gone or wrong. */
export function RetryForm({ task, onClose, onConfirm }: Props) {
  const [args, setArgs] = useState(() => initial(task.args_redacted, '[]'))
  const [kwargs, setKwargs] = useState(() => initial(task.kwargs_redacted, '{}'))
  const parsed = parseArguments(args, kwargs)
  const hidden = parsed.ok && hasRedaction([parsed.override.args, parsed.override.kwargs])
  const reason = !parsed.ok ? parsed.why : hidden ? 'Replace the hidden values first: a marker such as <email> would be sent as it stands.' : undefined
  const message = useId()
  const { answer, waiting } = useRetryPreview(task)
  const original = answer === null ? 'The agent has not said yet what would be sent.' : answer.can ? undefined : 'It cannot be retried as it was: see above.'
  return (
    <Dialog title={`Run ${task.name ?? 'the task'} again`} wide onClose={onClose}>
      <RetryPreviewView answer={answer} waiting={waiting} />
      <h3 className="text-sm font-semibold">With other arguments</h3>
      <p className="mb-3 text-sm text-muted">It runs as a new task. Values shown in angle brackets were hidden before they left their host; the brain does not have them.</p>
      <Editor label="Arguments (a JSON array)" value={args} onChange={setArgs} describedBy={message} />
      <Editor label="Keyword arguments (a JSON object)" value={kwargs} onChange={setKwargs} describedBy={message} />
      <p id={message} role="status" className="min-h-5 text-sm text-bad">
        {reason}
      </p>
      <DialogActions>
        <Button onClick={onClose}>Leave it</Button>
        <Button reason={original} onClick={() => onConfirm()}>
          Retry as it was
        </Button>
        <Button look="primary" reason={reason} onClick={() => parsed.ok && onConfirm(parsed.override)}>
          Run with these arguments
        </Button>
      </DialogActions>
    </Dialog>
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
