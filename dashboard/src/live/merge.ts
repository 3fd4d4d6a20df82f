import type { InfiniteData } from '@tanstack/react-query'
import type { Task, TaskDetail, TaskPage } from '../api/types'

export type TaskList = InfiniteData<TaskPage, unknown>

export const taskKey = (task: { engine: string; task_id: string }): string => `${task.engine}/${task.task_id}`

/** Every task once: a row can move to the next page between two fetches. */
export const rows = (list: TaskList | undefined): Task[] => {
  const byKey = new Map<string, Task>()
  for (const page of list?.pages ?? []) for (const task of page.items) if (!byKey.has(taskKey(task))) byKey.set(taskKey(task), task)
  return [...byKey.values()]
}

const isNewer = (incoming: Task, known: Task) => Date.parse(incoming.updated_at) > Date.parse(known.updated_at)

/** Replaces rows that are in the list by newer versions of themselves; an older delta that arrives late changes nothing. */
export function patchRows(list: TaskList, incoming: readonly Task[]): TaskList {
  const fresh = new Map(incoming.map((task) => [taskKey(task), task]))
  let changed = false
  const pages = list.pages.map((page) => {
    let touched = false
    const items = page.items.map((task) => {
      const update = fresh.get(taskKey(task))
      if (!update || !isNewer(update, task)) return task
      touched = true
      return update
    })
    changed ||= touched
    return touched ? { ...page, items } : page
  })
  return changed ? { ...list, pages } : list
}

/** The fields of a task inside its detail; attempts and timeline come with the next fetch. */
export const patchDetail = (detail: TaskDetail, incoming: Task): TaskDetail => (isNewer(incoming, detail) ? { ...detail, ...incoming } : detail)

/** The tasks that are not in the list yet. */
export function unknownTo(list: TaskList | undefined, incoming: readonly Task[]): Task[] {
  const known = new Set(rows(list).map(taskKey))
  return incoming.filter((task) => !known.has(taskKey(task)))
}

/**
 * Puts a freshly fetched head before the older rows that follow it. What used to stand within the head and is not there any
 * more no longer matches the filter, and goes; except what arrived while the head was on its way (`asked` holds the keys from
 * before), which the head cannot know. When head and list do not touch, the list begins again.
 */
export function mergeHead(list: TaskList, head: TaskPage, asked: ReadonlySet<string>): TaskList {
  const old = rows(list)
  const known = new Map(old.map((task) => [taskKey(task), task]))
  const inHead = new Set(head.items.map(taskKey))
  const newest = head.items.map((task) => {
    const other = known.get(taskKey(task))
    return other && isNewer(other, task) ? other : task
  })
  const last = head.items.at(-1)
  const lastAt = last && head.next_cursor != null ? old.findIndex((task) => taskKey(task) === taskKey(last)) : -1
  const rest = lastAt < 0 ? [] : old.slice(lastAt + 1).filter((task) => !inHead.has(taskKey(task)))
  const next_cursor = rest.length === 0 ? (head.next_cursor ?? null) : (list.pages.at(-1)?.next_cursor ?? null)
  const merged: TaskList = { pages: [{ items: [...newest, ...rest], next_cursor }], pageParams: [undefined] }
  return insertNew(merged, old.filter((task) => !asked.has(taskKey(task))))
}

/** Puts tasks that match the filter for certain where they belong (newest first), without waiting for the server's head. */
export function insertNew(list: TaskList, incoming: readonly Task[]): TaskList {
  const fresh = unknownTo(list, incoming)
  if (fresh.length === 0) return list
  const items = rows(list)
  const complete = list.pages.at(-1)?.next_cursor == null
  let inserted = false
  for (const task of fresh) {
    const at = items.findIndex((row) => row.first_seen_at < task.first_seen_at)
    if (at < 0 && !complete && items.length > 0) continue
    items.splice(at < 0 ? items.length : at, 0, task)
    inserted = true
  }
  return inserted ? { pages: [{ items, next_cursor: list.pages.at(-1)?.next_cursor ?? null }], pageParams: [undefined] } : list
}
