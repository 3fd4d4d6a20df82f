import { useNavigate } from '@tanstack/react-router'
import { useCallback, useState } from 'react'
import type { Task } from '../../api/types'
import { useKeys } from '../../lib/keyboard'
import { useWide } from '../../lib/media'
import { useOperatorReason } from '../../lib/session'
import { isOver } from '../../lib/states'
import { taskKey } from '../../live/merge'

interface Options {
  tasks: readonly Task[]
  openKey: string | undefined
  toggle: (task: Task, index: number, range: boolean) => void
  /** While tasks are selected, Escape and r belong to the selection. */
  selecting: boolean
}

/** j, k, Enter, x, r over the list. The cursor holds a task, not a place, so that new rows do not move it. */
export function useListKeys({ tasks, openKey, toggle, selecting }: Options) {
  const navigate = useNavigate({ from: '/tasks' })
  const wide = useWide()
  const viewer = useOperatorReason() !== undefined
  const [at, setAt] = useState<string | null>(null)
  const [retrying, setRetrying] = useState<Task | null>(null)
  const cursor = at === null ? -1 : tasks.findIndex((task) => taskKey(task) === at)
  const current = tasks[cursor]

  const open = (task: Task, replace: boolean) => {
    if (wide) void navigate({ to: '/tasks', search: (view) => ({ ...view, task: taskKey(task) }), replace })
    else void navigate({ to: '/tasks/$engine/$taskId', params: { engine: task.engine, taskId: task.task_id } })
  }
  const move = (step: number) => {
    const next = tasks[Math.min(tasks.length - 1, Math.max(0, cursor + step))]
    if (!next) return
    setAt(taskKey(next))
    // While a task stands open beside the list, the cursor turns its pages.
    if (openKey !== undefined && wide) open(next, true)
  }
  useKeys({
    j: () => move(1),
    k: () => move(cursor < 0 ? 1 : -1),
    Enter: () => current && open(current, false),
    x: () => current && toggle(current, cursor, false),
    r: () => {
      if (!selecting && current && isOver(current.state) && !viewer) setRetrying(current)
    },
    Escape: () => {
      if (selecting) return
      if (openKey !== undefined) void navigate({ to: '/tasks', search: (view) => ({ ...view, task: undefined }) })
      else setAt(null)
    },
  })

  return { cursor, resetCursor: useCallback(() => setAt(null), []), retrying, stopRetrying: () => setRetrying(null) }
}
