import { Link } from '@tanstack/react-router'
import clsx from 'clsx'
import { memo, type MouseEvent } from 'react'
import type { Task } from '../../api/types'
import { StateBadge } from '../../components/ui/state-badge'
import { Ago, Since } from '../../components/ui/time'
import { callLine, shortId } from '../../lib/format'
import { duration } from '../../lib/time'
import { useWide } from '../../lib/media'
import { useNow } from '../../lib/now'
import { taskKey } from '../../live/merge'
import { ranFor } from '../task/run-time'
import { StartedTwice } from '../task/started-twice'
import { rowTime } from './row-time'

export const ROW_HEIGHT = 54

interface Props {
  task: Task
  index: number
  selected: boolean
  atCursor: boolean
  open: boolean
  fresh: boolean
  onSelect: (task: Task, index: number, range: boolean) => void
}

export const TaskRow = memo(function TaskRow({ task, index, selected, atCursor, open, fresh, onSelect }: Props) {
  const name = task.name ?? 'Name not known'
  const pick = (event: MouseEvent) => onSelect(task, index, event.shiftKey)
  return (
    <div
      role="row"
      aria-rowindex={index + 1}
      aria-selected={selected}
      data-testid="task-row"
      data-task-id={task.task_id}
      data-state={task.state}
      style={{ height: ROW_HEIGHT }}
      className={clsx(
        'relative grid grid-cols-[auto_minmax(0,1fr)_auto] items-center gap-x-3 border-b border-line px-3 text-sm hover:bg-raised',
        (selected || open) && 'bg-tint',
        atCursor && 'shadow-[inset_3px_0_0_var(--accent)]',
        fresh && 'fade-in',
      )}
    >
      <div role="gridcell" className="z-[1] flex">
        <input type="checkbox" checked={selected} onChange={() => undefined} onClick={pick} aria-label={`Select ${name} ${shortId(task.task_id)}`} className="size-4 accent-accent" />
      </div>
      <div role="gridcell" className="min-w-0">
        <div className="flex items-baseline gap-2">
          <RowLink task={task} name={name} />
          <span className="shrink-0 font-mono text-xs text-muted max-sm:hidden">{shortId(task.task_id)}</span>
          {task.started_twice && <StartedTwice brief />}
        </div>
        <Arguments task={task} />
      </div>
      <div role="gridcell" className="sm:w-68">
        <div className="flex items-center justify-between gap-2 max-sm:flex-col max-sm:items-end max-sm:gap-0">
          <StateBadge state={task.state} />
          <span className="text-muted max-sm:text-xs">
            <RowTimeText task={task} />
          </span>
        </div>
        <Where task={task} />
      </div>
    </div>
  )
})

/** Stretched over the row, so that the whole row opens the task and a link can still be copied. */
function RowLink({ task, name }: { task: Task; name: string }) {
  const wide = useWide()
  const className = "truncate font-semibold after:absolute after:inset-0 after:content-['']"
  const title = `${name}\n${task.task_id}`
  if (wide) {
    return (
      <Link to="/tasks" search={(view) => ({ ...view, task: taskKey(task) })} title={title} className={className}>
        {name}
      </Link>
    )
  }
  return (
    <Link to="/tasks/$engine/$taskId" params={{ engine: task.engine, taskId: task.task_id }} title={title} className={className}>
      {name}
    </Link>
  )
}

function Arguments({ task }: { task: Task }) {
  const call = callLine(task.args_redacted, task.kwargs_redacted)
  const unknown = task.args_redacted == null && task.kwargs_redacted == null
  return (
    <div className="truncate font-mono text-xs text-muted">
      {task.exception != null && !['succeeded', 'started'].includes(task.state) && (
        <span className={task.state === 'retrying' ? 'text-warn' : 'text-bad'}>
          {task.exception}
          {task.exception_message ? `: ${task.exception_message}` : ''}
          {' · '}
        </span>
      )}
      {unknown ? <span title="No event told the arguments">arguments not known</span> : `(${call})`}
    </div>
  )
}

function RowTimeText({ task }: { task: Task }) {
  const now = useNow()
  const { at, prefix, counting } = rowTime(task, now)
  return counting ? <Since at={at} prefix={prefix} /> : <Ago at={at} prefix={prefix} />
}

function Where({ task }: { task: Task }) {
  const ran = ranFor(task)
  const parts = [
    task.queue ?? null,
    task.worker ?? null,
    task.attempt > 0 ? `attempt ${task.attempt + 1}` : null,
    ran !== null ? `ran ${duration(ran)}` : null,
  ].filter((part) => part !== null)
  const text = parts.join(' · ') || '—'
  return (
    <div title={text} className="truncate text-xs text-muted max-sm:hidden">
      {text}
    </div>
  )
}
