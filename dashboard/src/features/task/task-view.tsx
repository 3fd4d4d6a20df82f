import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState, type ReactNode } from 'react'
import { ApiError } from '../../api/client'
import { taskQuery } from '../../api/queries'
import type { TaskDetail } from '../../api/types'
import { Empty } from '../../components/ui/notice'
import { QueryView } from '../../components/ui/query-view'
import { Segments } from '../../components/ui/segments'
import { useProject } from '../../lib/session'
import type { TaskTab } from '../../routes/search'
import { isOver } from '../../lib/states'
import { KeptNote } from '../storage/kept-note'
import { LostPanel } from './lost-panel'
import { TaskActions } from './task-actions'
import { TaskEvents } from './task-events'
import { TaskFacts } from './task-facts'
import { TaskHeader } from './task-header'
import { TaskSummary } from './task-summary'
import { WhyPanel } from './why-panel'

const TABS = [
  { value: 'summary', text: 'Summary' },
  { value: 'events', text: 'Raw events' },
] as const

interface Props {
  engine: string
  taskId: string
  tab: TaskTab
  onTab: (tab: TaskTab) => void
  /** What stands in the corner when the task is shown beside a list. */
  corner?: ReactNode
}

export function TaskView({ engine, taskId, tab, onTab, corner }: Props) {
  const query = useQuery(taskQuery(useProject(), engine, taskId))
  if (query.error instanceof ApiError && query.error.status === 404) {
    return (
      <Empty title="The brain does not know this task">
        <p>
          No agent has reported <span className="font-mono">{taskId}</span> of {engine}. It may not have arrived yet, or it is older than what the brain keeps. <KeptNote />
        </p>
        <Link to="/tasks" search={(view) => ({ ...view, task: undefined })} className="mt-2 inline-block underline">
          Back to the tasks
        </Link>
      </Empty>
    )
  }
  return (
    <QueryView query={query} what="task">
      {(task: TaskDetail) => (
        <article key={`${task.engine}/${task.task_id}`} className="flex flex-col gap-4 p-4">
          <TaskHeader task={task} corner={corner} />
          <TaskActions task={task} ownPage={corner === undefined} />
          {task.state === 'lost' && task.lost != null && <LostPanel lost={task.lost} />}
          <Why task={task} />
          <TaskFacts task={task} />
          <Segments label="Parts of the task" options={TABS} value={tab} onChange={onTab} />
          {tab === 'summary' ? <TaskSummary task={task} /> : <TaskEvents engine={engine} taskId={taskId} />}
        </article>
      )}
    </QueryView>
  )
}

/** Stands from the time that the task is opened, also when it ends meanwhile: nothing below it may move. */
function Why({ task }: { task: TaskDetail }) {
  const [asked] = useState(!isOver(task.state))
  return asked && <WhyPanel task={task} />
}
