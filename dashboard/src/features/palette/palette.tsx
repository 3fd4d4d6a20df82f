import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Command } from 'cmdk'
import { useDeferredValue, useState } from 'react'
import { agentsQuery, fetchTasks, queuesQuery, schedulesQuery, workersQuery } from '../../api/queries'
import { Dialog } from '../../components/ui/dialog'
import { StateBadge } from '../../components/ui/state-badge'
import { quote, term } from '../../lib/filter'
import { shortId } from '../../lib/format'
import { useProject } from '../../lib/session'
import { PAGES } from '../../routes/nav'

const item = 'flex cursor-pointer items-center justify-between gap-3 rounded-md px-2 py-1.5 text-sm data-[selected=true]:bg-tint'
const group = '[&_[cmdk-group-heading]]:px-2 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-muted'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
// The short form of an id that the lists show has eight characters.
const LIKE_AN_ID = /^[\w-]{8,}$/

/** Goes anywhere: a page, a queue, a worker, a task by its id, or a search. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('')
  const project = useProject()
  const navigate = useNavigate()
  const id = useDeferredValue(text.trim())
  const tasks = useQuery({
    queryKey: ['palette', project, id],
    queryFn: ({ signal }) => fetchTasks(project, { q: UUID.test(id) ? term('id', id) : quote(id) }, undefined, 5, signal),
    enabled: LIKE_AN_ID.test(id),
  })
  const queues = useQuery(queuesQuery(project))
  const workers = useQuery(workersQuery(project))
  const agents = useQuery(agentsQuery(project))
  const schedules = useQuery(schedulesQuery(project))
  const go = (run: () => Promise<void>) => () => {
    onClose()
    void run()
  }
  const search = (q: string) => go(() => navigate({ to: '/tasks', search: { q } }))

  return (
    <Dialog title="Go to" onClose={onClose}>
      <Command label="Go to" loop>
        <Command.Input
          value={text}
          onValueChange={setText}
          data-autofocus
          placeholder="A page, a queue, a worker, or a task id"
          className="mb-2 w-full rounded-md border border-line bg-ground px-2.5 py-1.5 text-sm"
        />
        <Command.List className="max-h-80 overflow-y-auto">
          {tasks.data && tasks.data.items.length > 0 && (
            <Command.Group heading="Tasks" className={group} forceMount>
              {tasks.data.items.map((task) => (
                <Command.Item
                  key={task.task_id}
                  value={`task ${task.task_id}`}
                  forceMount
                  className={item}
                  onSelect={go(() => navigate({ to: '/tasks/$engine/$taskId', params: { engine: task.engine, taskId: task.task_id } }))}
                >
                  <span className="truncate">
                    {task.name ?? 'Name not known'} <span className="font-mono text-xs text-muted">{shortId(task.task_id)}</span>
                  </span>
                  <StateBadge state={task.state} />
                </Command.Item>
              ))}
            </Command.Group>
          )}
          <Command.Group heading="Pages" className={group}>
            {PAGES.map(({ to, name }) => (
              <Command.Item key={to} value={name} className={item} onSelect={go(() => navigate({ to }))}>
                {name}
              </Command.Item>
            ))}
            <Command.Item value="Failed tasks of the last 24 hours" className={item} onSelect={go(() => navigate({ to: '/tasks', search: { state: 'failed', since: '24h' } }))}>
              Failed tasks of the last 24 hours
            </Command.Item>
          </Command.Group>
          <Command.Group heading="Queues" className={group}>
            {queues.data?.items.map(({ engine, name }) => (
              <Command.Item key={`${engine}/${name}`} value={`queue ${name}`} className={item} onSelect={search(term('queue', name))}>
                {name}
              </Command.Item>
            ))}
          </Command.Group>
          <Command.Group heading="Workers" className={group}>
            {workers.data?.items.map(({ engine, name }) => (
              <Command.Item key={`${engine}/${name}`} value={`worker ${name}`} className={item} onSelect={search(term('worker', name))}>
                {name}
              </Command.Item>
            ))}
          </Command.Group>
          <Command.Group heading="Schedules" className={group}>
            {schedules.data?.items.map(({ scheduler, id: schedule, name }) => (
              <Command.Item
                key={`${scheduler}/${schedule}`}
                value={`schedule ${name ?? ''} ${scheduler}/${schedule}`}
                className={item}
                onSelect={go(() => navigate({ to: '/schedules/$scheduler/$id', params: { scheduler, id: schedule } }))}
              >
                {name ?? schedule}
              </Command.Item>
            ))}
          </Command.Group>
          <Command.Group heading="Agents" className={group}>
            {agents.data?.items.map(({ id: agent, name }) => (
              <Command.Item key={agent} value={`agent ${name}`} className={item} onSelect={go(() => navigate({ to: '/agents' }))}>
                {name}
              </Command.Item>
            ))}
          </Command.Group>
          {text.trim() !== '' && (
            <Command.Item value={`search ${text}`} forceMount className={item} onSelect={search(text.trim())}>
              Search tasks for “{text.trim()}”
            </Command.Item>
          )}
        </Command.List>
      </Command>
    </Dialog>
  )
}
