import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import type { Schedule } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { useOperatorReason } from '../../lib/session'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { isFixed, readOnlyReason } from './problem-words'
import { RunNowDialog } from './run-now-dialog'
import { ScheduleForm } from './schedule-form'
import { nameOf } from './schedule-table'

/** Run now, pause, edit, delete; each says why it cannot now. What can never be changed from here is only run. */
export function ScheduleActions({ schedule }: { schedule: Schedule }) {
  const [asking, setAsking] = useState<'run' | 'edit' | 'delete' | null>(null)
  const sent = useSendCommand()
  const navigate = useNavigate()
  const viewer = useOperatorReason()
  const fixed = viewer ?? readOnlyReason(schedule)
  const away = schedule.connected ? undefined : 'No agent that tells of it is connected.'
  const { scheduler, id } = schedule
  const paused = schedule.enabled === false
  const close = () => setAsking(null)

  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap gap-2">
        <Button reason={viewer ?? away} title="Sends its task now, besides its times" onClick={() => setAsking('run')}>
          Run now…
        </Button>
        {!isFixed(schedule) && (
          <>
            <Button reason={fixed} onClick={() => sent.send({ cmd: 'schedule_pause', args: { scheduler, id, paused: !paused } })}>
              {paused ? 'Resume' : 'Pause'}
            </Button>
            <Button reason={fixed} onClick={() => setAsking('edit')}>
              Edit…
            </Button>
            <Button look="danger" reason={fixed} onClick={() => setAsking('delete')}>
              Delete…
            </Button>
          </>
        )}
      </div>
      <CommandOutcome
        sent={sent}
        after={(command) =>
          command.cmd === 'schedule_delete' &&
          command.status === 'succeeded' && (
            <div className="mt-2">
              <Button onClick={() => void navigate({ to: '/schedules' })}>Go to all schedules</Button>
            </div>
          )
        }
      />
      {asking === 'run' && (
        <RunNowDialog
          schedule={schedule}
          onClose={close}
          onConfirm={() => {
            close()
            sent.send({ cmd: 'schedule_run_now', args: { scheduler, id } })
          }}
        />
      )}
      {asking === 'edit' && (
        <ScheduleForm
          schedule={schedule}
          schedulers={[]}
          onClose={close}
          onConfirm={(_, changes) => {
            close()
            sent.send({ cmd: 'schedule_update', args: { scheduler, id, schedule: changes } })
          }}
        />
      )}
      {asking === 'delete' && (
        <Dialog title={`Delete ${nameOf(schedule)}?`} onClose={close}>
          <p className="text-sm">
            It will not run again, and it cannot be undone. To stop it for a while, pause it instead. What it has sent already stays.
          </p>
          <DialogActions>
            <Button onClick={close}>Keep it</Button>
            <Button
              look="danger"
              onClick={() => {
                close()
                sent.send({ cmd: 'schedule_delete', args: { scheduler, id } })
              }}
            >
              Delete 1 schedule
            </Button>
          </DialogActions>
        </Dialog>
      )}
    </div>
  )
}
