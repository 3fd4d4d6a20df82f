import { graphlib, layout } from '@dagrejs/dagre'

export const NODE_WIDTH = 190
export const NODE_HEIGHT = 52

interface Placed {
  id: string
  x: number
  y: number
}

/** Where each task of a workflow stands, from left to right in the order of the calls. */
export function place(ids: readonly string[], calls: readonly (readonly [parent: string, child: string])[]): Placed[] {
  const graph = new graphlib.Graph()
  graph.setGraph({ rankdir: 'LR', nodesep: 14, ranksep: 44 })
  graph.setDefaultEdgeLabel(() => ({}))
  for (const id of ids) graph.setNode(id, { width: NODE_WIDTH, height: NODE_HEIGHT })
  for (const [parent, child] of calls) {
    if (graph.hasNode(parent) && graph.hasNode(child)) graph.setEdge(parent, child)
  }
  layout(graph)
  return ids.map((id) => {
    const { x = 0, y = 0 } = graph.node(id) as { x?: number; y?: number }
    return { id, x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }
  })
}
