import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { explain } from '../../api/client'
import { commandQuery } from '../../api/commands'
import type { Command } from '../../api/types'
import { Callout } from '../../components/ui/notice'
import { shortId } from '../../lib/format'
import { useProject } from '../../lib/session'
import { bulkResult, newTaskId, outcome, reason } from './sentence'
import type { SentCommand } from './use-send-command'

const tones = { pending: 'plain', sent: 'plain', succeeded: 'good', failed: 'bad', timed_out: 'warn', unknown: 'warn' } as const

/** What came of a command, where it was given. `after` adds a next step once it has ended. */
export function CommandOutcome({ sent, after }: { sent: SentCommand; after?: (command: Command) => ReactNode }) {
  if (sent.isIdle) return null
  if (sent.isError) return <Outcome status="refused" tone="bad">{explain(sent.error)}</Outcome>
  if (!sent.data) return <Outcome status="sending" tone="plain">Sending…</Outcome>
  return <Followed id={sent.data.id} initial={sent.data} after={after} />
}

function Followed({ id, initial, after }: { id: string; initial: Command; after: ((command: Command) => ReactNode) | undefined }) {
  const { data = initial } = useQuery(commandQuery(useProject(), id))
  const fresh = newTaskId(data)
  return (
    <Outcome status={data.status} tone={tones[data.status]}>
      {outcome(data)}
      {data.status === 'succeeded' && fresh !== null && (
        <>
          {' '}
          <Link to="/tasks/$engine/$taskId" params={{ engine: engineOf(data), taskId: fresh }} data-testid="new-task-link" className="font-mono underline">
            {shortId(fresh)}
          </Link>
        </>
      )}
      {data.cmd === 'bulk_retry' && data.status === 'succeeded' && <BulkPairs command={data} />}
      {after?.(data)}
    </Outcome>
  )
}

/** A command about a schedule does not name the engine of its task. */
const engineOf = ({ args }: Command): string => (typeof args.engine === 'string' ? args.engine : 'celery')

function Outcome({ status, tone, children }: { status: string; tone: 'bad' | 'warn' | 'good' | 'plain'; children: ReactNode }) {
  return (
    <div role="status" data-testid="command-outcome" data-status={status}>
      <Callout tone={tone}>{children}</Callout>
    </div>
  )
}

function BulkPairs({ command }: { command: Command }) {
  const { retried, failed } = bulkResult(command)
  const engine = String(command.args.engine)
  return (
    <ul className="mt-1 max-h-40 overflow-y-auto font-mono text-xs">
      {failed.map(([old, why]) => (
        <li key={old}>
          <TaskLink engine={engine} id={old} /> <span className="font-sans text-bad">not retried: {reason(why)}</span>
        </li>
      ))}
      {retried.map(([old, fresh]) => (
        <li key={old}>
          <TaskLink engine={engine} id={old} /> → <TaskLink engine={engine} id={fresh} />
        </li>
      ))}
    </ul>
  )
}

function TaskLink({ engine, id }: { engine: string; id: string }) {
  return (
    <Link to="/tasks/$engine/$taskId" params={{ engine, taskId: id }} className="underline">
      {shortId(id)}
    </Link>
  )
}
