import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import type { Task } from '../../api/types'
import { Clock, Span } from '../../components/ui/time'
import { term } from '../../lib/filter'
import { shortId } from '../../lib/format'
import { ranFor } from './run-time'

/** The facts in a box; each that can lead somewhere does. */
export function TaskFacts({ task }: { task: Task }) {
  const list = (q: string, text: string) => (
    <Link to="/tasks" search={{ q }} className="underline decoration-line underline-offset-2 hover:decoration-current">
      {text}
    </Link>
  )
  const other = (id: string) => (
    <Link to="/tasks/$engine/$taskId" params={{ engine: task.engine, taskId: id }} className="font-mono underline decoration-line underline-offset-2 hover:decoration-current" title={id}>
      {shortId(id)}
    </Link>
  )
  const facts: [string, ReactNode][] = [
    ['Queue', task.queue != null ? list(term('queue', task.queue), task.queue) : '—'],
    ['Worker', task.worker != null ? list(term('worker', task.worker), task.worker) : '—'],
    // Where it is not known when a task was sent, what it waited in its queue is not known either.
    [task.sent_at == null && task.wait_ms != null ? 'Waited at worker' : 'Waited', <Span key="wait" ms={task.wait_ms} />],
    ['Ran', <Span key="run" ms={ranFor(task)} />],
    ['Sent', <Clock key="sent" at={task.sent_at} />],
    [task.state === 'lost' ? 'Judged lost' : 'Finished', <Clock key="finished" at={task.finished_at} />],
  ]
  if (task.name != null) facts.push(['Others of this name', list(term('name', task.name), 'show')])
  if (task.eta != null) facts.push(['Not before', <Clock key="eta" at={task.eta} />])
  if (task.expires != null) facts.push(['Expires', <Clock key="expires" at={task.expires} />])
  if (task.priority != null) facts.push(['Priority', task.priority])
  if (task.retry_of != null) facts.push(['Retry of', other(task.retry_of)])
  if (task.retried_as != null) facts.push(['Retried as', other(task.retried_as)])
  if (task.parent_id != null) facts.push(['Called by', other(task.parent_id)])
  facts.push(['Engine', task.engine], ['Told by', task.agent != null ? <Link key="agent" to="/agents" className="underline decoration-line underline-offset-2">{task.agent}</Link> : '—'])
  return (
    <dl className="grid grid-cols-2 gap-x-4 gap-y-2 rounded-lg border border-line bg-surface p-3 sm:grid-cols-[repeat(auto-fill,minmax(8.5rem,1fr))]">
      {facts.map(([label, value]) => (
        <div key={label} className="min-w-0">
          <dt className="text-xs text-muted">{label}</dt>
          <dd className="truncate text-sm">{value}</dd>
        </div>
      ))}
    </dl>
  )
}
