import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Task } from '../../api/types'
import { taskKey } from '../../live/merge'

/** Selected tasks, always as they are now; Shift takes the range from the last one touched. */
export function useSelection(tasks: readonly Task[]) {
  const [keys, setKeys] = useState<ReadonlyMap<string, Task>>(new Map())
  const anchor = useRef<string | null>(null)
  const list = useRef(tasks)
  useEffect(() => {
    list.current = tasks
  }, [tasks])

  const toggle = useCallback((task: Task, index: number, range: boolean) => {
    const from = range ? list.current.findIndex((row) => taskKey(row) === anchor.current) : -1
    anchor.current = taskKey(task)
    setKeys((before) => {
      const next = new Map(before)
      if (from >= 0) {
        for (const row of list.current.slice(Math.min(from, index), Math.max(from, index) + 1)) next.set(taskKey(row), row)
      } else if (next.has(taskKey(task))) next.delete(taskKey(task))
      else next.set(taskKey(task), task)
      return next
    })
  }, [])

  const clear = useCallback(() => setKeys(new Map()), [])
  const selectAll = useCallback(() => setKeys(new Map(list.current.map((task) => [taskKey(task), task]))), [])

  const selected = useMemo(() => {
    const present = new Map(tasks.map((task) => [taskKey(task), task]))
    return [...keys].map(([key, task]) => present.get(key) ?? task)
  }, [keys, tasks])

  return { selected, isSelected: (task: Task) => keys.has(taskKey(task)), toggle, clear, selectAll }
}
