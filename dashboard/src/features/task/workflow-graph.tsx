import { Controls, Handle, MarkerType, Position, ReactFlow, type Edge, type Node, type NodeProps } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { Link } from '@tanstack/react-router'
import clsx from 'clsx'
import { useMemo } from 'react'
import type { Task, TaskTree } from '../../api/types'
import { StateBadge } from '../../components/ui/state-badge'
import { duration } from '../../lib/time'
import { NODE_HEIGHT, NODE_WIDTH, place } from './graph-layout'
import { ranFor } from './run-time'

type TaskNode = Node<{ task: Task; current: boolean }, 'task'>

function TaskNodeView({ data: { task, current } }: NodeProps<TaskNode>) {
  const ran = ranFor(task)
  return (
    <div className={clsx('flex h-full flex-col justify-center rounded-md border bg-surface px-2.5 text-xs', current ? 'border-2 border-accent' : 'border-line')}>
      <Handle type="target" position={Position.Left} className="invisible" />
      <Link to="/tasks/$engine/$taskId" params={{ engine: task.engine, taskId: task.task_id }} aria-current={current ? 'page' : undefined} title={`${task.name ?? ''}\n${task.task_id}`} className="nodrag block truncate font-medium hover:underline">
        {task.name ?? task.task_id}
      </Link>
      <span className="flex items-center justify-between">
        <StateBadge state={task.state} />
        <span className="text-muted">{ran !== null && duration(ran)}</span>
      </span>
      <Handle type="source" position={Position.Right} className="invisible" />
    </div>
  )
}

const nodeTypes = { task: TaskNodeView }
/** A group fans out from its parent and a chord joins at its child: one word there is enough. */
function labelled(edges: TaskTree['edges']): Edge[] {
  const said = new Set<string>()
  return edges.map(({ parent, child, kind }) => {
    const at = `${kind} ${kind === 'chord' ? child : parent}`
    const label = kind === 'parent' || said.has(at) ? undefined : kind
    said.add(at)
    return {
      id: `${kind} ${parent} ${child}`,
      source: parent,
      target: child,
      label,
      markerEnd: { type: MarkerType.ArrowClosed },
      style: kind === 'retry' ? { strokeDasharray: '4 3' } : undefined,
    }
  })
}

export default function WorkflowGraph({ tree, current }: { tree: TaskTree; current: string }) {
  // Places depend on who is there, not on how they are doing: states change without a new layout.
  const shape = JSON.stringify([tree.items.map((task) => task.task_id), tree.edges.map(({ parent, child }) => [parent, child])])
  const places = useMemo(() => {
    const [ids, pairs] = JSON.parse(shape) as [string[], [string, string][]]
    return place(ids, pairs)
  }, [shape])
  const nodes = useMemo<TaskNode[]>(() => {
    const tasks = new Map(tree.items.map((task) => [task.task_id, task]))
    return places.flatMap(({ id, x, y }) => {
      const task = tasks.get(id)
      return task ? [{ id, type: 'task', position: { x, y }, width: NODE_WIDTH, height: NODE_HEIGHT, data: { task, current: id === current } }] : []
    })
  }, [places, tree, current])
  const edges = useMemo(() => labelled(tree.edges), [tree])
  const height = Math.min(420, Math.max(140, Math.max(...places.map(({ y }) => y + NODE_HEIGHT)) + 60))
  return (
    <div style={{ height }} className="workflow-graph">
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        colorMode="system"
        fitView
        fitViewOptions={{ maxZoom: 1, padding: 0.08 }}
        minZoom={0.1}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        preventScrolling={false}
        zoomOnScroll={false}
        onlyRenderVisibleElements
      >
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  )
}
