import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Loading, LoadFailed, OldData } from './notice'

/** Loading, failed, old or present: each is said; known data stays on screen when a refresh fails. */
export function QueryView<T>({ query, what, children }: { query: UseQueryResult<T>; what: string; children: (data: T) => ReactNode }) {
  if (query.data === undefined) {
    return query.isError ? <LoadFailed error={query.error} what={what} onRetry={() => void query.refetch()} /> : <Loading what={what} />
  }
  return (
    <>
      {query.isRefetchError && <OldData error={query.error} />}
      {children(query.data)}
    </>
  )
}
