import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { ApiError, client, unwrap } from './client'
import type { Schedule, TaskFilter } from './types'

const projects = '/api/v1/projects/{project}'
export const PAGE_SIZE = 50

export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: ({ signal }) => unwrap(client.GET('/api/v1/session', { signal })),
  staleTime: 60_000,
})

export const signOut = () => unwrap(client.DELETE('/api/v1/session'))

export const fetchTasks = (project: string, filter: TaskFilter, cursor?: string, limit = PAGE_SIZE, signal?: AbortSignal) =>
  unwrap(client.GET(`${projects}/tasks`, { params: { path: { project }, query: { ...filter, limit, cursor } }, signal }))

/** The list grows by pages at its end; its head is kept fresh by the live stream, never by refetching every page. */
export const tasksQuery = (project: string, filter: TaskFilter) =>
  infiniteQueryOptions({
    queryKey: ['tasks', project, filter],
    queryFn: ({ pageParam, signal }) => fetchTasks(project, filter, pageParam, PAGE_SIZE, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: 0,
    placeholderData: keepPreviousData,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  })

export const taskCountsQuery = (project: string, filter: TaskFilter) =>
  queryOptions({
    queryKey: ['task-counts', project, filter],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/task-counts`, { params: { path: { project }, query: filter }, signal })),
    placeholderData: keepPreviousData,
  })

export const taskQuery = (project: string, engine: string, taskId: string) =>
  queryOptions({
    queryKey: ['task', project, engine, taskId],
    queryFn: ({ signal }) =>
      unwrap(client.GET(`${projects}/tasks/{engine}/{task_id}`, { params: { path: { project, engine, task_id: taskId } }, signal })),
  })

export const taskEventsQuery = (project: string, engine: string, taskId: string) =>
  queryOptions({
    queryKey: ['task-events', project, engine, taskId],
    queryFn: ({ signal }) =>
      unwrap(client.GET(`${projects}/tasks/{engine}/{task_id}/events`, { params: { path: { project, engine, task_id: taskId }, query: { limit: 200 } }, signal })),
  })

export const taskTreeQuery = (project: string, engine: string, taskId: string) =>
  queryOptions({
    queryKey: ['task-tree', project, engine, taskId],
    queryFn: ({ signal }) =>
      unwrap(client.GET(`${projects}/tasks/{engine}/{task_id}/tree`, { params: { path: { project, engine, task_id: taskId } }, signal })),
  })

export const taskTypesQuery = (project: string, since: string | undefined) =>
  queryOptions({
    queryKey: ['task-types', project, since],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/task-types`, { params: { path: { project }, query: { since } }, signal })),
    placeholderData: keepPreviousData,
  })

export const statsQuery = (project: string, since: string, step: string) =>
  queryOptions({
    queryKey: ['stats', project, since, step],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/stats`, { params: { path: { project }, query: { since, step } }, signal })),
    placeholderData: keepPreviousData,
  })

export const agentsQuery = (project: string) =>
  queryOptions({
    queryKey: ['agents', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/agents`, { params: { path: { project } }, signal })),
  })

export const quarantineQuery = (project: string) =>
  queryOptions({
    queryKey: ['quarantine', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/quarantine`, { params: { path: { project }, query: { limit: 100 } }, signal })),
  })

/** It changes slowly. */
export const storageQuery = (project: string) =>
  queryOptions({
    queryKey: ['storage', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/storage`, { params: { path: { project } }, signal })),
    staleTime: 60_000,
    refetchInterval: 60_000,
  })

export const workersQuery = (project: string) =>
  queryOptions({
    queryKey: ['workers', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/workers`, { params: { path: { project } }, signal })),
  })

export const queuesQuery = (project: string) =>
  queryOptions({
    queryKey: ['queues', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/queues`, { params: { path: { project } }, signal })),
  })

/** Runs become known by looking, every few seconds: nothing on the stream tells of them. */
const RUNS_EVERY = 5_000

/** All of them, whatever the size of a page. */
export const schedulesQuery = (project: string) =>
  queryOptions({
    queryKey: ['schedules', project],
    queryFn: async ({ signal }) => {
      const items: Schedule[] = []
      let cursor: string | undefined
      do {
        const page = await unwrap(client.GET(`${projects}/schedules`, { params: { path: { project }, query: { cursor } }, signal }))
        items.push(...page.items)
        cursor = page.next_cursor ?? undefined
      } while (cursor !== undefined)
      return { items }
    },
    refetchInterval: RUNS_EVERY,
  })

export const scheduleQuery = (project: string, scheduler: string, id: string) =>
  queryOptions({
    queryKey: ['schedule', project, scheduler, id],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/schedules/{scheduler}/{id}`, { params: { path: { project, scheduler, id } }, signal })),
    refetchInterval: RUNS_EVERY,
  })

export const schedulersQuery = (project: string) =>
  queryOptions({
    queryKey: ['schedulers', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/schedulers`, { params: { path: { project } }, signal })),
    refetchInterval: RUNS_EVERY,
  })

export const previewQuery = (project: string, kind: string, expression: string, timezone: string | undefined) =>
  queryOptions({
    queryKey: ['schedule-preview', project, kind, expression, timezone],
    queryFn: ({ signal }) => unwrap(client.POST(`${projects}/schedules/preview`, { params: { path: { project } }, body: { kind, expression, timezone }, signal })),
    enabled: expression !== '',
    staleTime: 60_000,
    retry: (failures, error) => !(error instanceof ApiError) && failures < 3,
  })

export const commandsQuery = (project: string, taskId?: string) =>
  infiniteQueryOptions({
    queryKey: ['commands', project, taskId],
    queryFn: ({ pageParam, signal }) =>
      unwrap(client.GET(`${projects}/commands`, { params: { path: { project }, query: { limit: PAGE_SIZE, cursor: pageParam, task_id: taskId } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  })

export const auditQuery = (project: string) =>
  infiniteQueryOptions({
    queryKey: ['audit', project],
    queryFn: ({ pageParam, signal }) =>
      unwrap(client.GET(`${projects}/audit`, { params: { path: { project }, query: { limit: PAGE_SIZE, cursor: pageParam } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  })
