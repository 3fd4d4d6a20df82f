import type { ReactElement } from 'react'
import { useSearch } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { TaskFilter } from '../../api/types'
import { useWide } from '../../lib/media'
import { TaskPanel } from '../task/task-panel'
import { TaskBrowser } from './task-browser'

/** The list, and beside it the task that the address names; on narrow screens the task takes the whole page. */
export function TasksPage(): ReactElement {
  const { q, state, since, until, task } = useSearch({ from: '/tasks' })
  const filter = useMemo<TaskFilter>(() => ({ q, state, since, until }), [q, state, since, until])
  const wide = useWide()
  if (task !== undefined && !wide) return <TaskPanel key={task} taskKey={task} />
  return (
    <div className="flex h-full min-w-0">
      <TaskBrowser filter={filter} openKey={task} />
      {task !== undefined && (
        <aside aria-label="Task" className="w-[46%] shrink-0 overflow-y-auto border-l border-line">
          <TaskPanel key={task} taskKey={task} />
        </aside>
      )}
    </div>
  )
}
