import { useQuery } from '@tanstack/react-query'
import { Outlet } from '@tanstack/react-router'
import type { ReactElement } from 'react'
import { ApiError } from '../api/client'
import { sessionQuery } from '../api/queries'
import { LoadFailed, Loading } from '../components/ui/notice'
import { LiveProvider } from '../live/live'
import { SessionContext } from '../lib/session'
import { Shell } from './shell'
import { SignedOut } from './signed-out'

const RETRY_EVERY = 2000

/** Who is looking decides what stands here: the pages, the signed-out page, or why the brain cannot be asked. */
export function Root(): ReactElement {
  const session = useQuery({ ...sessionQuery, refetchInterval: ({ state }) => (state.error && !isSignedOut(state.error) ? RETRY_EVERY : false) })
  if (isSignedOut(session.error)) return <SignedOut />
  if (session.data) {
    return (
      <SessionContext value={session.data}>
        <LiveProvider project={session.data.project}>
          <Shell>
            <Outlet />
          </Shell>
        </LiveProvider>
      </SessionContext>
    )
  }
  if (session.error) return <LoadFailed error={session.error} what="session" onRetry={() => void session.refetch()} />
  return <Loading what="Taskplane" />
}

const isSignedOut = (error: unknown) => error instanceof ApiError && error.status === 401
