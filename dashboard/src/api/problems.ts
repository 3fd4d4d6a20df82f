import { queryOptions } from '@tanstack/react-query'
import { client, unwrap } from './client'

/** Silence becomes a problem by time alone: nothing on the stream tells of it. */
const LOOK_EVERY = 10_000

/** What is wrong now, the worst first. */
export const problemsQuery = (project: string) =>
  queryOptions({
    queryKey: ['problems', project],
    queryFn: ({ signal }) => unwrap(client.GET('/api/v1/projects/{project}/problems', { params: { path: { project } }, signal })),
    refetchInterval: LOOK_EVERY,
  })
