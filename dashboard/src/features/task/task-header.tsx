import type { ReactNode } from 'react'
import type { Task, TaskDetail } from '../../api/types'
import { CopyButton } from '../../components/ui/copy-button'
import { StateIcon } from '../../components/ui/state-badge'
import { useNow } from '../../lib/now'
import { stateWords } from '../../lib/states'
import { useZone } from '../../lib/zone'
import { headline } from './headline'
import { StateKnownBy, stateKnownBy } from './known-by'
import { StartedTwice } from './started-twice'

export function TaskHeader({ task, corner }: { task: TaskDetail; corner: ReactNode }) {
  const now = useNow()
  const zone = useZone()
  const way = stateKnownBy(task.timeline)
  return (
    <header>
      <div className="flex items-start justify-between gap-2">
        <p className="font-mono text-sm break-all text-muted">{task.name ?? 'Name not known'}</p>
        <div className="-mt-1 -mr-1 flex shrink-0">{corner}</div>
      </div>
      <h1 data-testid="task-headline" data-state={task.state} className="flex items-start gap-2 text-lg leading-snug font-semibold" title={stateWords[task.state].meaning}>
        <StateIcon state={task.state} className="mt-1" />
        {headline(task, now, zone)}
      </h1>
      {(task.started_twice || way !== null) && (
        <p className="mt-1 flex flex-wrap gap-1.5">
          {task.started_twice && <StartedTwice times={Math.max(...task.attempts.map(({ starts }) => starts.length))} />}
          {way !== null && <StateKnownBy way={way} />}
        </p>
      )}
      {task.exception != null && task.state !== 'succeeded' && (
        // All of it stands below, in the traceback.
        <p className="mt-1 line-clamp-4 font-mono text-sm break-words text-bad">
          {task.exception}
          {task.exception_message ? `: ${task.exception_message}` : ''}
        </p>
      )}
      <p className="flex flex-wrap items-center gap-1 text-xs text-muted">
        <span className="font-mono break-all">{task.task_id}</span>
        <CopyButton text={task.task_id} label="Copy the task id" />
      </p>
      {task.progress != null && <Progress progress={task.progress} />}
    </header>
  )
}

function Progress({ progress }: { progress: NonNullable<Task['progress']> }) {
  return (
    <div className="mt-2 flex items-center gap-2 text-sm">
      <progress className="h-2 flex-1 accent-accent" aria-label="Progress" value={progress.done} max={progress.total ?? undefined} />
      <span>
        {progress.done}
        {progress.total != null && ` of ${progress.total}`}
        {progress.note != null && ` · ${progress.note}`}
      </span>
    </div>
  )
}
