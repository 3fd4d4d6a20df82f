import * as v from 'valibot'
import { WINDOW_KEYS } from '../lib/filter'

const text = v.optional(v.fallback(v.optional(v.pipe(v.string(), v.nonEmpty())), undefined))

/** The whole view of the tasks page. */
export const tasksSearch = v.object({
  q: text,
  state: text,
  since: text,
  until: text,
  /** The task that is open beside the list: `engine/id`. */
  task: text,
})
export type TasksSearch = v.InferOutput<typeof tasksSearch>

export const overviewSearch = v.object({
  since: v.optional(v.fallback(v.optional(v.picklist(WINDOW_KEYS)), undefined)),
})

const TABS = ['summary', 'events'] as const
export type TaskTab = (typeof TABS)[number]
export const taskSearch = v.object({
  tab: v.optional(v.fallback(v.optional(v.picklist(TABS)), undefined)),
})

/** A list of what is there: only some of it, or what has a text in its name. */
export const fleetSearch = v.object({
  show: v.optional(v.fallback(v.optional(v.picklist(['attention'])), undefined)),
  find: text,
})
export type FleetSearch = v.InferOutput<typeof fleetSearch>

export const schedulesSearch = v.object({
  show: v.optional(v.fallback(v.optional(v.picklist(['attention', 'paused'])), undefined)),
})

export const parseSearch = (search: string): Record<string, string> => Object.fromEntries(new URLSearchParams(search))

/** Plain `key=value` pairs, readable in a pasted link. */
export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(search)) {
    if (value !== undefined && value !== null) params.set(key, String(value))
  }
  const query = params.toString().replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%2C', ',')
  return query ? `?${query}` : ''
}
