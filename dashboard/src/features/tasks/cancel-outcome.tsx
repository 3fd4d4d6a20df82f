import { Link } from '@tanstack/react-router'
import type { Command } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Callout } from '../../components/ui/notice'
import { plural, shortId } from '../../lib/format'
import { outcome } from '../commands/sentence'
import type { Cancelling } from './use-cancel-picked'

/** What came of cancelling many tasks: numbers first, then every task. */
export function CancelOutcome({ cancelling, onDismiss }: { cancelling: Cancelling; onDismiss: () => void }) {
  const { tasks, finished, refused, running } = cancelling
  const done = finished.filter((command) => command.status === 'succeeded').length
  const failed = finished.length - done + refused.length
  const status = running ? 'sent' : failed === 0 ? 'succeeded' : 'failed'
  return (
    <div role="status" data-testid="command-outcome" data-status={status} className="px-3 pb-2">
      <Callout tone={running ? 'plain' : failed === 0 ? 'good' : 'bad'}>
        <div className="flex items-center justify-between gap-2">
          <span>
            {running
              ? `Cancelling ${plural(tasks, 'task')}: ${done} done${failed > 0 ? `, ${failed} not` : ''}…`
              : `Cancelled ${plural(done, 'task')}${failed > 0 ? `; ${failed} not, see why below` : ''}.`}
          </span>
          {!running && (
            <Button look="quiet" onClick={onDismiss}>
              Dismiss
            </Button>
          )}
        </div>
        <ul className="max-h-32 overflow-y-auto">
          {refused.map((why, index) => (
            <li key={index} className="text-bad">{why}</li>
          ))}
          {finished.map((command) => (
            <Line key={command.id} command={command} />
          ))}
        </ul>
      </Callout>
    </div>
  )
}

function Line({ command }: { command: Command }) {
  const id = String(command.args.task_id)
  return (
    <li>
      <Link to="/tasks/$engine/$taskId" params={{ engine: String(command.args.engine), taskId: id }} className="font-mono text-xs underline">
        {shortId(id)}
      </Link>{' '}
      {outcome(command)}
    </li>
  )
}
