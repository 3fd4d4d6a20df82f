import { createContext, useContext } from 'react'
import type { Session } from '../api/types'

export const SessionContext = createContext<Session | null>(null)

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('useSession outside of the signed-in shell')
  return session
}

export const useProject = (): string => useSession().project

/** Why this principal may not act, or undefined. */
export function useOperatorReason(): string | undefined {
  const { role } = useSession()
  return role === 'viewer' ? 'Your role is viewer. Acting on tasks and queues needs the operator role.' : undefined
}
