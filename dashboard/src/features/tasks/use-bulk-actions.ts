import { useQueryClient } from '@tanstack/react-query'
import { useCallback, useState } from 'react'
import { explain } from '../../api/client'
import { commandQuery, createCommand, isFinished, type NewCommand } from '../../api/commands'
import type { Command, Task } from '../../api/types'
import { randomId } from '../../lib/random-id'
import { useProject } from '../../lib/session'

const CHUNK = 1000

export interface Bulk {
  action: 'retry' | 'cancel'
  tasks: number
  finished: Command[]
  refused: string[]
  running: boolean
}

function commandsFor(action: 'retry' | 'cancel', tasks: readonly Task[]): NewCommand[] {
  if (action === 'cancel') return tasks.map(({ engine, task_id }) => ({ cmd: 'cancel_task', args: { engine, task_id, terminate: false } }))
  const byEngine = Map.groupBy(tasks, (task) => task.engine)
  return [...byEngine].flatMap(([engine, own]) =>
    Array.from({ length: Math.ceil(own.length / CHUNK) }, (_, chunk): NewCommand => ({
      cmd: 'bulk_retry',
      args: { engine, task_ids: own.slice(chunk * CHUNK, (chunk + 1) * CHUNK).map((task) => task.task_id) },
    })),
  )
}

/** Acts on many tasks, one command after the other, so that progress is real and the browser's few connections stay free. */
export function useBulkActions() {
  const project = useProject()
  const client = useQueryClient()
  const [bulk, setBulk] = useState<Bulk | null>(null)

  const follow = useCallback(
    async (first: Command): Promise<Command> => {
      let command = first
      while (!isFinished(command)) command = await client.fetchQuery({ ...commandQuery(project, command.id), staleTime: 0 })
      return command
    },
    [client, project],
  )

  const start = useCallback(
    async (action: 'retry' | 'cancel', tasks: readonly Task[]) => {
      setBulk({ action, tasks: tasks.length, finished: [], refused: [], running: true })
      for (const command of commandsFor(action, tasks)) {
        try {
          const done = await follow(await createCommand(project, command, randomId()))
          setBulk((before) => before && { ...before, finished: [...before.finished, done] })
        } catch (error) {
          setBulk((before) => before && { ...before, refused: [...before.refused, explain(error)] })
        }
      }
      setBulk((before) => before && { ...before, running: false })
    },
    [follow, project],
  )

  return { bulk, start: (action: 'retry' | 'cancel', tasks: readonly Task[]) => void start(action, tasks), dismiss: () => setBulk(null) }
}

export type BulkActions = ReturnType<typeof useBulkActions>
