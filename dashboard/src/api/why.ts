import { queryOptions } from '@tanstack/react-query'
import { client, unwrap } from './client'
import type { Why } from './types'

/** Workers and queues change without the task, and what is said of it with them. */
const LOOK_EVERY = 5_000

const get = (project: string, engine: string, taskId: string, ask: boolean, signal?: AbortSignal): Promise<Why> =>
  unwrap(
    client.GET('/api/v1/projects/{project}/tasks/{engine}/{task_id}/why', {
      params: { path: { project, engine, task_id: taskId }, query: ask ? { ask } : {} },
      ...(signal && { signal }),
    }),
  )

/** Why a task does not run, from what the brain has been told. */
export const whyQuery = (project: string, engine: string, taskId: string) =>
  queryOptions({
    queryKey: ['task-why', project, engine, taskId],
    queryFn: ({ signal }) => get(project, engine, taskId, false, signal),
    refetchInterval: LOOK_EVERY,
  })

/** The same, after asking the agent, which asks workers, queues and the result backend: takes up to ten seconds. */
export const askWhy = (project: string, engine: string, taskId: string): Promise<Why> => get(project, engine, taskId, true)
