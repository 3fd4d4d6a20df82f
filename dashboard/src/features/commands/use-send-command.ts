import { useMutation, useQueryClient } from '@tanstack/react-query'
import { ApiError } from '../../api/client'
import { commandQuery, createCommand, type NewCommand } from '../../api/commands'
import { randomId } from '../../lib/random-id'
import { useProject } from '../../lib/session'

/** Sends a command once: when the answer got lost on the way, the same key asks again without a second command. */
export function useSendCommand() {
  const project = useProject()
  const client = useQueryClient()
  const mutation = useMutation({
    mutationFn: ({ command, key }: { command: NewCommand; key: string }) => createCommand(project, command, key),
    retry: (failures, error) => !(error instanceof ApiError) && failures < 3,
    onSuccess(command) {
      client.setQueryData(commandQuery(project, command.id).queryKey, command)
      void client.invalidateQueries({ queryKey: ['commands'] })
    },
  })
  return { ...mutation, send: (command: NewCommand) => mutation.mutate({ command, key: randomId() }) }
}

export type SentCommand = ReturnType<typeof useSendCommand>
