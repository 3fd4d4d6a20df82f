import { useState } from 'react'
import type { Queue } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { Ago } from '../../components/ui/time'
import { plural } from '../../lib/format'

/** Above this the name of the queue must be typed: it cannot be undone. */
const TYPE_ABOVE = 100

export function PurgeDialog({ queue, onClose, onConfirm }: { queue: Queue; onClose: () => void; onConfirm: () => void }) {
  const [typed, setTyped] = useState('')
  const mustType = queue.depth == null || queue.depth > TYPE_ABOVE
  const noun = queue.depth == null ? 'all tasks' : plural(queue.depth, 'task')
  return (
    <Dialog title={`Purge ${queue.name}?`} onClose={onClose}>
      <p className="text-sm">
        This deletes {queue.depth == null ? 'an unknown number of tasks' : <strong>{noun}</strong>} waiting in <strong>{queue.name}</strong>
        {queue.depth != null && (
          <>
            {' '}
            (counted <Ago at={queue.sampled_at} />)
          </>
        )}
        . They never run, and it cannot be undone. Tasks that a worker already holds are not touched.
      </p>
      {mustType && (
        <label className="mt-3 flex flex-col gap-1 text-sm">
          Type the queue's name to confirm
          <input value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" spellCheck={false} className="rounded-md border border-line bg-ground px-2 py-1.5 font-mono" />
        </label>
      )}
      <DialogActions>
        <Button onClick={onClose}>Keep them</Button>
        <Button look="danger" reason={mustType && typed !== queue.name ? `Type ${queue.name} first.` : undefined} onClick={onConfirm}>
          Purge {noun}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
