import { useVirtualizer } from '@tanstack/react-virtual'
import { useCallback, useEffect, useRef, useState } from 'react'
import type { Task } from '../../api/types'
import { taskKey } from '../../live/merge'
import { KeptNote } from '../storage/kept-note'
import { ROW_HEIGHT, TaskRow } from './task-row'
import type { Waiting } from './use-task-list'
import { WaitingPill } from './waiting-pill'

const HOVER_HOLDS = 4000

interface Props {
  tasks: readonly Task[]
  cursor: number
  openKey: string | undefined
  fresh: ReadonlySet<string>
  isSelected: (task: Task) => boolean
  onSelect: (task: Task, index: number, range: boolean) => void
  /** Someone reads here: nothing may move. */
  onHold: (held: boolean) => void
  waiting: Waiting
  onShowWaiting: () => void
  hasMore: boolean
  loadingMore: boolean
  onLoadMore: () => void
}

export function TaskList({ tasks, cursor, openKey, fresh, isSelected, onSelect, onHold, waiting, onShowWaiting, hasMore, loadingMore, onLoadMore }: Props) {
  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: tasks.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: useCallback((index: number) => (tasks[index] ? taskKey(tasks[index]) : index), [tasks]),
    overscan: 8,
  })
  const items = virtual.getVirtualItems()
  const lastShown = items.at(-1)?.index ?? 0

  useEffect(() => {
    if (hasMore && !loadingMore && lastShown >= tasks.length - 15) onLoadMore()
  }, [hasMore, loadingMore, lastShown, tasks.length, onLoadMore])
  useEffect(() => {
    if (cursor >= 0) virtual.scrollToIndex(cursor)
  }, [cursor, virtual])

  const hold = useHold(onHold)
  return (
    <>
      <WaitingPill
        waiting={waiting}
        onShow={() => {
          scroller.current?.scrollTo({ top: 0 })
          onShowWaiting()
        }}
      />
      <div
        ref={scroller}
        data-testid="task-scroller"
        className="min-h-0 flex-1 overflow-y-auto overscroll-contain"
        onScroll={(event) => hold.scrolled(event.currentTarget.scrollTop > ROW_HEIGHT)}
        onPointerMove={(event) => event.pointerType === 'mouse' && hold.hovered(true)}
        onPointerLeave={() => hold.hovered(false)}
      >
        <div role="grid" aria-label="Tasks" aria-rowcount={hasMore ? -1 : tasks.length} aria-multiselectable className="relative" style={{ height: virtual.getTotalSize() }}>
          {items.map(({ index, key, start }) => {
            const task = tasks[index]
            return (
              task && (
                <div key={key} role="presentation" className="absolute inset-x-0" style={{ transform: `translateY(${start}px)` }}>
                  <TaskRow
                    task={task}
                    index={index}
                    selected={isSelected(task)}
                    atCursor={index === cursor}
                    open={openKey === taskKey(task)}
                    fresh={fresh.has(taskKey(task))}
                    onSelect={onSelect}
                  />
                </div>
              )
            )
          })}
        </div>
        <p role="status" className="py-3 text-center text-xs text-muted">
          {loadingMore ? (tasks.length === 0 ? 'Nothing among the newest; searching older tasks…' : 'Loading older tasks…') : hasMore ? '' : <>No older tasks match. <KeptNote /></>}
        </p>
      </div>
    </>
  )
}

/** The list is held while scrolled, and for a few seconds after the pointer moved over it. */
function useHold(onHold: (held: boolean) => void) {
  const [isScrolled, scrolled] = useState(false)
  const [isHovered, setHovered] = useState(false)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const held = isScrolled || isHovered
  useEffect(() => onHold(held), [held, onHold])
  useEffect(() => () => clearTimeout(timer.current), [])
  const hovered = useCallback((over: boolean) => {
    clearTimeout(timer.current)
    setHovered(over)
    if (over) timer.current = setTimeout(() => setHovered(false), HOVER_HOLDS)
  }, [])
  return { scrolled, hovered }
}
