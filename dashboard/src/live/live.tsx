import { useQueryClient, type QueryClient } from '@tanstack/react-query'
import { createContext, useContext, useEffect, useMemo, useSyncExternalStore, type ReactNode } from 'react'
import { baseUrl } from '../api/client'
import type { BulkJob, Command, Task } from '../api/types'
import { LiveConnection, type LiveStatus } from './connection'
import { applyBulkJobs, applyCommands, applyTasks } from './patch'
import { throttle } from './throttle'

export interface TaskDelta {
  /** How many tasks changed; more than `items` when the stream cut the list. */
  changed: number
  items: Task[]
}

type FleetTopic = 'agents' | 'workers' | 'queues'

type TaskListener = (delta: TaskDelta | 'gap') => void

export interface Live {
  connection: LiveConnection
  onTasks: (listener: TaskListener) => () => void
}

const LiveContext = createContext<Live | null>(null)

function createLive(project: string, client: QueryClient): Live & { dispose: () => void } {
  const listeners = new Set<TaskListener>()
  const refetch = (...topics: string[]) => {
    void client.invalidateQueries({ predicate: ({ queryKey }) => topics.includes(String(queryKey[0])) })
  }
  const counts = throttle(() => refetch('task-counts'), 1000)
  const details = throttle(() => refetch('task', 'task-events', 'task-tree', 'task-why'), 500)
  const summaries = throttle(() => refetch('stats', 'task-types'), 5000)
  const jobs = throttle(() => refetch('bulk-jobs', 'bulk-items'), 2000)
  const problems = throttle(() => refetch('problems', 'task-why'), 3000)
  const records = throttle(() => refetch('commands', 'audit', 'schedules', 'schedule', 'schedulers'), 500)
  // Short lists, of which the stream only says that they changed.
  const fleet = {
    agents: throttle(() => refetch('agents'), 500),
    workers: throttle(() => refetch('workers'), 1000),
    queues: throttle(() => refetch('queues'), 1000),
  }

  const refetchAll = () => {
    void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'tasks' })
    for (const listener of listeners) listener('gap')
  }

  const isOpen = (task: Task) =>
    client.getQueryCache().findAll({ type: 'active', predicate: ({ queryKey }) => queryKey[0] === 'task' && queryKey[3] === task.task_id }).length > 0

  const onEvent = (topic: string, data: unknown) => {
    if (topic === 'tasks') {
      const delta = data as TaskDelta
      applyTasks(client, delta.items)
      for (const listener of listeners) listener(delta)
      counts.call()
      summaries.call()
      if (delta.changed > delta.items.length || delta.items.some(isOpen)) details.call()
      return
    }
    if (topic === 'commands') {
      applyCommands(client, (data as { items: Command[] }).items)
      records.call()
    } else if (topic === 'bulk') {
      applyBulkJobs(client, (data as { items: BulkJob[] }).items)
      jobs.call()
    } else {
      fleet[topic as FleetTopic]?.call()
      problems.call()
    }
  }

  const connection = new LiveConnection(`${baseUrl}/api/v1/projects/${encodeURIComponent(project)}/stream?topics=tasks,commands,agents,workers,queues,bulk`, {
    onEvent,
    onGap: refetchAll,
    onTrouble() {
      // A stream that is refused may be a session that ended; asking for the session tells.
      refetch('session')
      // Something between here and the brain may not let streams through: then we poll.
      if (connection.getStatus().state === 'stale') refetchAll()
    },
  })
  return {
    connection,
    onTasks(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
    dispose() {
      connection.stop()
      for (const throttled of [counts, details, summaries, jobs, problems, records, ...Object.values(fleet)]) throttled.cancel()
    },
  }
}

export function LiveProvider({ project, children }: { project: string; children: ReactNode }) {
  const client = useQueryClient()
  const live = useMemo(() => createLive(project, client), [project, client])
  useEffect(() => {
    live.connection.start()
    return () => live.dispose()
  }, [live])
  return <LiveContext value={live}>{children}</LiveContext>
}

export function useLive(): Live {
  const live = useContext(LiveContext)
  if (!live) throw new Error('useLive outside of LiveProvider')
  return live
}

export function useLiveStatus(): LiveStatus {
  const { connection } = useLive()
  return useSyncExternalStore(connection.subscribe, connection.getStatus)
}
