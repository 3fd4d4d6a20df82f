import { useQueryClient } from '@tanstack/react-query'
import { useCallback, useState } from 'react'
import { explain } from '../../api/client'
import { commandQuery, createCommand, isFinished } from '../../api/commands'
import type { Command, Task } from '../../api/types'
import { randomId } from '../../lib/random-id'
import { useProject } from '../../lib/session'

/** How far it has come. */
export interface Cancelling {
  tasks: number
  finished: Command[]
  refused: string[]
  running: boolean
}

/** Cancels picked tasks, one command after the other, so that progress is real and the browser's few connections stay free. */
export function useCancelPicked() {
  const project = useProject()
  const client = useQueryClient()
  const [cancelling, setCancelling] = useState<Cancelling | null>(null)

  const follow = useCallback(
    async (first: Command): Promise<Command> => {
      let command = first
      while (!isFinished(command)) command = await client.fetchQuery({ ...commandQuery(project, command.id), staleTime: 0 })
      return command
    },
    [client, project],
  )

  const start = useCallback(
    async (tasks: readonly Task[]) => {
      setCancelling({ tasks: tasks.length, finished: [], refused: [], running: true })
      for (const { engine, task_id } of tasks) {
        try {
          const done = await follow(await createCommand(project, { cmd: 'cancel_task', args: { engine, task_id, terminate: false } }, randomId()))
          setCancelling((before) => before && { ...before, finished: [...before.finished, done] })
        } catch (error) {
          setCancelling((before) => before && { ...before, refused: [...before.refused, explain(error)] })
        }
      }
      setCancelling((before) => before && { ...before, running: false })
    },
    [follow, project],
  )

  return { cancelling, start: (tasks: readonly Task[]) => void start(tasks), dismiss: () => setCancelling(null) }
}
