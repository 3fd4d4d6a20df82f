import type { QueryClient } from '@tanstack/react-query'
import type { BulkJob, Command, Task, TaskDetail } from '../api/types'
import { patchDetail, patchRows, type TaskList } from './merge'

/** Writes changed tasks into every list and detail that shows them. */
export function applyTasks(client: QueryClient, tasks: readonly Task[]) {
  client.setQueriesData<TaskList>({ queryKey: ['tasks'] }, (list) => list && patchRows(list, tasks))
  for (const task of tasks) {
    client.setQueriesData<TaskDetail>(
      { predicate: ({ queryKey }) => queryKey[0] === 'task' && queryKey[2] === task.engine && queryKey[3] === task.task_id },
      (detail) => detail && patchDetail(detail, task),
    )
  }
}

/** A command that has ended is not opened again by a delta that was on its way. */
export function applyCommands(client: QueryClient, items: readonly Command[]) {
  for (const command of items) {
    client.setQueriesData<Command>(
      { predicate: ({ queryKey }) => queryKey[0] === 'command' && queryKey[2] === command.id },
      (known) => (known && known.finished_at == null ? command : known),
    )
  }
}

/** Jobs that are open on a page, as they now stand. */
export function applyBulkJobs(client: QueryClient, items: readonly BulkJob[]) {
  for (const job of items) {
    client.setQueriesData<BulkJob>({ predicate: ({ queryKey }) => queryKey[0] === 'bulk-job' && queryKey[2] === job.id }, (known) => known && job)
  }
}
