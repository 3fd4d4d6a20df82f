import { Link } from '@tanstack/react-router'
import type { Command } from '../../api/types'
import { Actor } from '../../components/ui/actor'
import { Ago } from '../../components/ui/time'
import { shortId } from '../../lib/format'
import { asked, newTaskId, outcome } from './sentence'

const marks = { pending: '◌', sent: '◌', succeeded: '✓', failed: '✕', timed_out: '▲', unknown: '?' } as const
const colours = { pending: 'text-muted', sent: 'text-muted', succeeded: 'text-good', failed: 'text-bad', timed_out: 'text-warn', unknown: 'text-warn' } as const

/** Commands in words: who asked for what, and what came of it. */
export function CommandList({ commands }: { commands: readonly Command[] }) {
  return (
    <ul>
      {commands.map((command) => {
        const { engine, task_id: taskId } = command.args
        const fresh = newTaskId(command)
        return (
          <li key={command.id} className="flex gap-2 border-b border-line px-3 py-1.5 text-sm last:border-0">
            <span aria-hidden className={colours[command.status]}>
              {marks[command.status]}
            </span>
            <div className="min-w-0 flex-1">
              {typeof engine === 'string' && typeof taskId === 'string' ? (
                <Link to="/tasks/$engine/$taskId" params={{ engine, taskId }} className="font-medium hover:underline">
                  {asked(command)}
                </Link>
              ) : (
                <span className="font-medium">{asked(command)}</span>
              )}
              <span className="text-muted">
                {' '}
                · <Actor name={command.created_by ?? 'someone'} /> · <Ago at={command.created_at} />
              </span>
              <p className="break-words text-muted">
                {outcome(command)}{' '}
                {fresh !== null && typeof engine === 'string' && (
                  <Link to="/tasks/$engine/$taskId" params={{ engine, taskId: fresh }} className="font-mono underline">
                    {shortId(fresh)}
                  </Link>
                )}
              </p>
            </div>
          </li>
        )
      })}
    </ul>
  )
}
