import type { Schedule } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { JsonView } from '../../components/ui/json-view'

/** What it does, and with which arguments, before it is done. */
export function RunNowDialog({ schedule, onClose, onConfirm }: { schedule: Schedule; onClose: () => void; onConfirm: () => void }) {
  return (
    <Dialog title={`Run ${schedule.name ?? schedule.id} now?`} onClose={onClose}>
      <p className="text-sm">
        This sends <strong>{schedule.task ?? 'its task'}</strong> once{schedule.queue ? ` to ${schedule.queue}` : ''}, besides its times. Its next runs stay as they are.
      </p>
      <div className="mt-2">
        <JsonView value={{ args: schedule.args_redacted ?? [], kwargs: schedule.kwargs_redacted ?? {} }} />
      </div>
      <DialogActions>
        <Button onClick={onClose}>Leave it</Button>
        <Button look="primary" data-autofocus onClick={onConfirm}>
          Run 1 task
        </Button>
      </DialogActions>
    </Dialog>
  )
}
