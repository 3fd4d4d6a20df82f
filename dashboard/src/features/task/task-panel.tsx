import { Link } from '@tanstack/react-router'
import { ArrowLeft, Maximize2, X } from 'lucide-react'
import { useState } from 'react'
import { useWide } from '../../lib/media'
import type { TaskTab } from '../../routes/search'
import { TaskView } from './task-view'

/** A task beside its list. */
export function TaskPanel({ taskKey }: { taskKey: string }) {
  const [tab, setTab] = useState<TaskTab>('summary')
  const wide = useWide()
  const slash = taskKey.indexOf('/')
  const engine = taskKey.slice(0, slash)
  const taskId = taskKey.slice(slash + 1)
  const quiet = 'inline-flex items-center gap-1.5 rounded-md px-2 py-1 text-sm text-muted hover:bg-raised hover:text-ink'
  return (
    <TaskView
      engine={engine}
      taskId={taskId}
      tab={tab}
      onTab={setTab}
      corner={
        <>
          <Link to="/tasks/$engine/$taskId" params={{ engine, taskId }} className={quiet} aria-label="Open as a page" title="Open as a page">
            <Maximize2 aria-hidden size={15} />
          </Link>
          <Link to="/tasks" search={(view) => ({ ...view, task: undefined })} className={quiet} aria-label="Close the task" title="Close (Esc)">
            {wide ? <X aria-hidden size={16} /> : <ArrowLeft aria-hidden size={16} />}
          </Link>
        </>
      }
    />
  )
}
