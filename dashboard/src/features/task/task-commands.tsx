import { useInfiniteQuery } from '@tanstack/react-query'
import { commandsQuery } from '../../api/queries'
import { Panel } from '../../components/ui/panel'
import { useProject } from '../../lib/session'
import { CommandList } from '../commands/command-list'

/** Every action taken on this task, and by whom. */
export function TaskCommands({ taskId }: { taskId: string }) {
  const { data } = useInfiniteQuery(commandsQuery(useProject(), taskId))
  const commands = data?.pages.flatMap((page) => page.items) ?? []
  if (commands.length === 0) return null
  return (
    <Panel title="Actions taken on this task" flush>
      <CommandList commands={commands} />
    </Panel>
  )
}
