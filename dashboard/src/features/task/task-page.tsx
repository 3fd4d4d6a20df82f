import type { ReactElement } from 'react'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { ArrowLeft } from 'lucide-react'
import { TaskView } from './task-view'

export function TaskPage(): ReactElement {
  const from = '/tasks/$engine/$taskId'
  const { engine, taskId } = useParams({ from })
  const { tab = 'summary' } = useSearch({ from })
  const navigate = useNavigate({ from })
  return (
    <div className="mx-auto max-w-5xl">
      <div className="px-4 pt-3">
        <Link to="/tasks" className="inline-flex items-center gap-1 text-sm text-muted hover:text-ink">
          <ArrowLeft aria-hidden size={14} /> Tasks
        </Link>
      </div>
      <TaskView
        key={`${engine}/${taskId}`}
        engine={engine}
        taskId={taskId}
        tab={tab}
        onTab={(next) => void navigate({ search: { tab: next === 'summary' ? undefined : next }, replace: true })}
      />
    </div>
  )
}
