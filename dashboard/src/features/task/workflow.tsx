import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { lazy, Suspense, useState } from 'react'
import { taskTreeQuery } from '../../api/queries'
import type { Task, TaskTree } from '../../api/types'
import { Loading } from '../../components/ui/notice'
import { Panel } from '../../components/ui/panel'
import { Segments } from '../../components/ui/segments'
import { StateBadge } from '../../components/ui/state-badge'
import { shortId } from '../../lib/format'
import { useProject } from '../../lib/session'

const WorkflowGraph = lazy(() => import('./workflow-graph'))

// The graph is made of DOM nodes; above this the list is the better picture.
const LARGEST_GRAPH = 300

const VIEWS = [
  { value: 'graph', text: 'Graph' },
  { value: 'list', text: 'List' },
] as const

/** The chain, group or chord around a task; nothing when it stands alone. */
export function Workflow({ task }: { task: Task }) {
  const { data: tree } = useQuery(taskTreeQuery(useProject(), task.engine, task.task_id))
  const [chosen, setChosen] = useState<'graph' | 'list'>('graph')
  if (!tree || tree.items.length < 2) return null
  const view = tree.items.length > LARGEST_GRAPH ? 'list' : chosen
  return (
    <Panel
      title={`Workflow of ${tree.items.length} tasks`}
      aside={tree.items.length > LARGEST_GRAPH ? 'too large for a graph' : <Segments label="Show the workflow as" options={VIEWS} value={view} onChange={setChosen} />}
      flush
    >
      {tree.truncated && <p className="px-3 pt-2 text-sm text-warn">The workflow is larger; only its first {tree.items.length} tasks are shown.</p>}
      {view === 'graph' ? (
        <Suspense fallback={<Loading what="graph" />}>
          <WorkflowGraph tree={tree} current={task.task_id} />
        </Suspense>
      ) : (
        <WorkflowList tree={tree} current={task.task_id} />
      )}
    </Panel>
  )
}

function WorkflowList({ tree, current }: { tree: TaskTree; current: string }) {
  return (
    <ul className="max-h-96 overflow-y-auto">
      {tree.items.map((task) => (
        <li key={task.task_id} className="flex items-center justify-between gap-3 border-b border-line px-3 py-1.5 text-sm last:border-0">
          <Link to="/tasks/$engine/$taskId" params={{ engine: task.engine, taskId: task.task_id }} className="min-w-0 truncate hover:underline" aria-current={task.task_id === current ? 'page' : undefined}>
            {task.name ?? 'Name not known'} <span className="font-mono text-xs text-muted">{shortId(task.task_id)}</span>
            {task.task_id === current && <span className="text-muted"> · this one</span>}
          </Link>
          <StateBadge state={task.state} />
        </li>
      ))}
    </ul>
  )
}
