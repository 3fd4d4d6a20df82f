import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { agentsQuery, storageQuery } from '../../api/queries'
import type { TaskFilter } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Empty } from '../../components/ui/notice'
import { howLongTasksAreKept, reachesBeyond } from '../../lib/kept'
import { useProject } from '../../lib/session'

/** Says which emptiness this is: hidden by the filter, not arriving, or nothing yet. */
export function NothingHere({ filter }: { filter: TaskFilter }) {
  const project = useProject()
  const agents = useQuery(agentsQuery(project))
  const storage = useQuery(storageQuery(project)).data
  if (Object.values(filter).some((value) => value !== undefined)) {
    return (
      <Empty title="No task matches this view">
        <p>{describe(filter)}</p>
        {storage && reachesBeyond(storage, filter.since, filter.until, Date.now()) && <p>{howLongTasksAreKept(storage)}</p>}
        <Link to="/tasks" search={{}} className="mt-2 inline-block underline">
          Show all tasks
        </Link>
      </Empty>
    )
  }
  if (!agents.data) return <Empty title="No tasks yet" />
  const online = agents.data.items.filter((agent) => agent.state === 'online')
  if (agents.data.items.length === 0) {
    return (
      <Empty title="No tasks yet, because no agent is connected">
        An agent observes your queues and tells this brain what happens there.{' '}
        <Link to="/agents" className="underline">
          Connect an agent
        </Link>
      </Empty>
    )
  }
  if (online.length === 0) {
    return (
      <Empty title="No tasks are arriving: every agent is offline">
        <Link to="/agents" className="underline">
          See the agents
        </Link>
      </Empty>
    )
  }
  return (
    <Empty title="No tasks yet">
      {online.length === 1 ? `The agent ${online[0]?.name} is connected` : `${online.length} agents are connected`} and will show the next task that is sent. If tasks run and do not appear, Celery's workers
      may not send events: start them with <code className="font-mono">-E</code>.
    </Empty>
  )
}

export function NotUnderstood({ onClear }: { onClear: () => void }) {
  return (
    <Empty title="The search was not understood">
      <p className="mb-3">What is wrong stands under the search box. Press ? to see what can be searched.</p>
      <Button onClick={onClear}>Clear the search</Button>
    </Empty>
  )
}

function describe({ q, state, since, until }: TaskFilter): string {
  const parts = [q && `search ${q}`, state && `state ${state}`, since && `since ${since}`, until && `until ${until}`].filter(Boolean)
  return `The view is limited to ${parts.join(', ')}.`
}
