import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { fetchTasks, PAGE_SIZE, tasksQuery } from '../../api/queries'
import type { TaskFilter } from '../../api/types'
import { statesOf } from '../../lib/filter'
import { useLive, type TaskDelta } from '../../live/live'
import { insertNew, mergeHead, patchRows, rows, taskKey, unknownTo } from '../../live/merge'
import { throttle } from '../../live/throttle'

const REFRESH_EVERY = 500
const LARGEST_HEAD = 200

export interface Waiting {
  count: number
  /** True when more are waiting than one page shows. */
  more: boolean
}

const NONE: Waiting = { count: 0, more: false }
const NOTHING_FRESH: ReadonlySet<string> = new Set()

/**
 * The list of tasks, kept at the present by the live stream. While `held`, known rows change in place and new ones wait.
 */
export function useTaskList(project: string, filter: TaskFilter, held: boolean) {
  const client = useQueryClient()
  const live = useLive()
  const query = useInfiniteQuery(tasksQuery(project, filter))
  const [waiting, setWaiting] = useState(NONE)
  const [fresh, setFresh] = useState(NOTHING_FRESH)
  const heldNow = useRef(held)
  const busy = useRef(false)

  useEffect(() => {
    heldNow.current = held
  }, [held])

  const refresh = useCallback(
    async (size: number) => {
      const { queryKey } = tasksQuery(project, filter)
      const asked = new Set(rows(client.getQueryData(queryKey)).map(taskKey))
      const head = await fetchTasks(project, filter, undefined, size)
      const list = client.getQueryData(queryKey)
      if (!list) return
      const added = unknownTo(list, head.items)
      if (heldNow.current && added.length > 0) {
        client.setQueryData(queryKey, patchRows(list, head.items))
        setWaiting({ count: added.length, more: added.length === head.items.length && head.next_cursor != null })
        return
      }
      client.setQueryData(queryKey, heldNow.current ? patchRows(list, head.items) : mergeHead(list, head, asked))
      setWaiting(NONE)
      if (added.length > 0) setFresh(new Set(added.map(taskKey)))
    },
    [client, project, filter],
  )

  const ticker = useMemo(
    () =>
      throttle(() => {
        // One at a time: a slow brain must not collect requests.
        if (busy.current) return ticker.call()
        busy.current = true
        void refresh(PAGE_SIZE)
          .catch(() => undefined)
          .finally(() => {
            busy.current = false
          })
      }, REFRESH_EVERY),
    [refresh],
  )

  const showWaiting = useCallback(() => {
    heldNow.current = false
    void refresh(PAGE_SIZE).catch(() => undefined)
  }, [refresh])

  useEffect(() => {
    const { queryKey } = tasksQuery(project, filter)
    // Only a filter by state can be judged here; words are for the server.
    const states = statesOf(filter.state)
    const certain = filter.q === undefined && filter.until === undefined
    const onDelta = (delta: TaskDelta | 'gap') => {
      const list = client.getQueryData(queryKey)
      if (delta === 'gap') {
        void refresh(Math.min(LARGEST_HEAD, Math.max(PAGE_SIZE, rows(list).length))).catch(() => undefined)
        return
      }
      if (!list) return
      const added = unknownTo(list, delta.items)
      if (certain && !heldNow.current) {
        const matching = added.filter((task) => states.length === 0 || states.includes(task.state))
        const inserted = insertNew(list, matching)
        if (inserted !== list) {
          client.setQueryData(queryKey, inserted)
          setFresh(new Set(matching.map(taskKey)))
        }
      }
      const allKnown = certain && states.length === 0 && added.length === 0 && delta.changed <= delta.items.length
      if (!allKnown) ticker.call()
    }
    const stop = live.onTasks(onDelta)
    return () => {
      stop()
      ticker.cancel()
      setWaiting(NONE)
      setFresh(NOTHING_FRESH)
    }
  }, [client, live, project, filter, refresh, ticker])

  // Whoever lets go of the list gets what was waiting.
  const waits = waiting.count > 0
  useEffect(() => {
    if (!held && waits) showWaiting()
  }, [held, waits, showWaiting])

  return { query, tasks: useMemo(() => rows(query.data), [query.data]), waiting, fresh, showWaiting }
}
