import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { client, unwrap } from './client'
import type { BulkItem, BulkJob, NewBulkJob, TaskState } from './types'

const projects = '/api/v1/projects/{project}'

/** Which tasks are to be retried. */
export interface BulkWanted {
  filter: NewBulkJob['filter']
  /** States beyond those of failures that are retried, too. */
  include: TaskState[]
}

/** How a bulk retry goes about it. */
export interface BulkPlan {
  expected_count: number
  canary?: number
  rate_per_minute?: number
  stop_above_percent?: number
}

async function post(project: string, body: NewBulkJob, signal?: AbortSignal) {
  // To the brain no ids mean every task there is; here they mean that nothing is picked.
  if (body.filter.ids?.length === 0) throw new Error('No task is picked.')
  return unwrap(client.POST(`${projects}/bulk`, { params: { path: { project } }, body, ...(signal && { signal }) }))
}

/** What a retry of these tasks would do; taken anew each time it is asked for. */
export const bulkDryRunQuery = (project: string, wanted: BulkWanted) =>
  queryOptions({
    queryKey: ['bulk-dry-run', project, wanted],
    queryFn: async ({ signal }) => {
      const found = await post(project, { cmd: 'retry', ...wanted, dry_run: true }, signal)
      if ('retryable' in found) return found
      throw new Error('The brain made a job instead of a dry run.')
    },
    // Another choice in the same dialog must not make it jump.
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  })

/** The key makes a repeated send of the same click one job. */
export async function createBulkRetry(project: string, wanted: BulkWanted, plan: BulkPlan, idempotencyKey: string): Promise<BulkJob> {
  const made = await post(project, { cmd: 'retry', ...wanted, ...plan, idempotency_key: idempotencyKey })
  if ('counts' in made) return made
  throw new Error('The brain made a dry run instead of a job.')
}

export type BulkAction = 'pause' | 'resume' | 'cancel'

export function steerBulkJob(project: string, id: string, action: BulkAction): Promise<BulkJob> {
  const params = { params: { path: { project, id } } }
  if (action === 'pause') return unwrap(client.POST(`${projects}/bulk/{id}/pause`, params))
  if (action === 'resume') return unwrap(client.POST(`${projects}/bulk/{id}/resume`, params))
  return unwrap(client.POST(`${projects}/bulk/{id}/cancel`, params))
}

export const isOverBulk = (job: BulkJob): boolean => job.finished_at != null && job.counts.awaited === 0

export const bulkJobQuery = (project: string, id: string) =>
  queryOptions({
    queryKey: ['bulk-job', project, id],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/bulk/{id}`, { params: { path: { project, id } }, signal })),
    // The stream tells sooner; where it cannot come through, the page still gets on.
    refetchInterval: ({ state }) => (state.data && isOverBulk(state.data) ? false : 5000),
  })

export const bulkJobsQuery = (project: string) =>
  queryOptions({
    queryKey: ['bulk-jobs', project],
    queryFn: ({ signal }) => unwrap(client.GET(`${projects}/bulk`, { params: { path: { project }, query: { limit: 10 } }, signal })),
  })

export const bulkItemsQuery = (project: string, id: string, state: BulkItem['state']) =>
  infiniteQueryOptions({
    queryKey: ['bulk-items', project, id, state],
    queryFn: ({ pageParam, signal }) =>
      unwrap(client.GET(`${projects}/bulk/{id}/items`, { params: { path: { project, id }, query: { state, limit: 100, cursor: pageParam } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  })
