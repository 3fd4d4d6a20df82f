import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import type { Command } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Callout } from '../../components/ui/notice'
import { plural, shortId } from '../../lib/format'
import { bulkResult, outcome, reason } from '../commands/sentence'
import type { Bulk } from './use-bulk-actions'

const one = (engine: unknown, id: string, testId?: string) => (
  <Link to="/tasks/$engine/$taskId" params={{ engine: String(engine), taskId: id }} data-testid={testId} className="font-mono text-xs underline">
    {shortId(id)}
  </Link>
)

/** What came of an action on many tasks: numbers first, then every old task with its new one. */
export function BulkOutcome({ bulk, onDismiss }: { bulk: Bulk; onDismiss: () => void }) {
  const lines = bulk.finished.flatMap((command) => (command.cmd === 'bulk_retry' ? retryLines(command) : [cancelLine(command)]))
  const done = lines.filter((line) => line.ok).length
  const failed = lines.length - done + bulk.refused.length
  const status = bulk.running ? 'sent' : failed === 0 ? 'succeeded' : 'failed'
  const verb = bulk.action === 'retry' ? 'Retried' : 'Cancelled'
  return (
    <div role="status" data-testid="command-outcome" data-status={status} className="px-3 pb-2">
      <Callout tone={bulk.running ? 'plain' : failed === 0 ? 'good' : 'bad'}>
        <div className="flex items-center justify-between gap-2">
          <span>
            {bulk.running
              ? `${bulk.action === 'retry' ? 'Retrying' : 'Cancelling'} ${plural(bulk.tasks, 'task')}: ${done} done${failed > 0 ? `, ${failed} not` : ''}…`
              : `${verb} ${plural(done, 'task')}${failed > 0 ? `; ${failed} not, see why below` : ''}.`}
          </span>
          {!bulk.running && (
            <Button look="quiet" onClick={onDismiss}>
              Dismiss
            </Button>
          )}
        </div>
        <ul className="max-h-32 overflow-y-auto">
          {bulk.refused.map((why, index) => (
            <li key={index} className="text-bad">{why}</li>
          ))}
          {lines.map((line) => (
            <li key={line.key}>{line.text}</li>
          ))}
        </ul>
      </Callout>
    </div>
  )
}

interface Line {
  key: string
  ok: boolean
  text: ReactNode
}

function retryLines(command: Command): Line[] {
  const { engine, task_ids: ids } = command.args
  if (command.status !== 'succeeded') {
    const amount = Array.isArray(ids) ? ids.length : 0
    return [{ key: command.id, ok: false, text: `${plural(amount, 'task')}: ${outcome(command)}` }]
  }
  const { retried, failed } = bulkResult(command)
  return [
    ...failed.map(([old, why]) => ({ key: old, ok: false, text: <>{one(engine, old)} not retried: {reason(why)}</> })),
    ...retried.map(([old, fresh]) => ({ key: old, ok: true, text: <>{one(engine, old)} → {one(engine, fresh, 'new-task-link')}</> })),
  ]
}

function cancelLine(command: Command): Line {
  const id = String(command.args.task_id)
  return { key: command.id, ok: command.status === 'succeeded', text: <>{one(command.args.engine, id)} {outcome(command)}</> }
}
