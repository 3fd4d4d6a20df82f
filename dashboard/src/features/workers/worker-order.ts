import type { WorkerOrder } from '../../api/commands'
import type { Agent, Worker } from '../../api/types'
import { isRecord } from '../../lib/format'

export type Action = WorkerOrder['action']

export const actionWords: Record<Action, string> = {
  ping: 'Ping',
  pool_grow: 'Run more at once',
  pool_shrink: 'Run fewer at once',
  rate_limit: 'Limit how often a task begins',
  add_consumer: 'Consume one more queue',
  cancel_consumer: 'Stop consuming a queue',
  shutdown: 'Shut down',
}

export const actions = Object.keys(actionWords) as Action[]

export interface Typed {
  n: string
  taskName: string
  rate: string
  queue: string
}

type Made = { ok: true; order: WorkerOrder } | { ok: false; why: string }

/** Reads what was typed as an order, or says what is missing. */
export function makeOrder(action: Action, { n, taskName, rate, queue }: Typed): Made {
  switch (action) {
    case 'ping':
    case 'shutdown':
      return { ok: true, order: { action } }
    case 'pool_grow':
    case 'pool_shrink': {
      const count = Number(n)
      return Number.isInteger(count) && count >= 1 && count <= 1000 ? { ok: true, order: { action, n: count } } : { ok: false, why: 'Say how many, from 1 to 1000.' }
    }
    case 'rate_limit':
      if (taskName.trim() === '') return { ok: false, why: 'Say which task.' }
      if (!/^\d{1,9}(\.\d{1,9})?(\/[smh])?$/.test(rate.trim())) return { ok: false, why: 'Write the rate as 10/s, 100/m or 1000/h, or 0 for no limit.' }
      return { ok: true, order: { action, task_name: taskName.trim(), rate: rate.trim() } }
    case 'add_consumer':
    case 'cancel_consumer':
      return queue.trim() === '' ? { ok: false, why: 'Say which queue.' } : { ok: true, order: { action, queue: queue.trim() } }
  }
}

/** Why a worker cannot be given orders now, or undefined. */
export function whyNoOrders(worker: Worker, agents: readonly Agent[] | undefined): string | undefined {
  if (worker.state === 'offline') return 'It is offline.'
  if (agents === undefined) return undefined
  const near = agents.filter((agent) => agent.state !== 'offline' && agent.engines.includes(worker.engine))
  if (near.length === 0) return `No agent that observes ${worker.engine} is connected.`
  const able = near.some(({ capabilities }) => {
    const can = capabilities[worker.engine]
    return isRecord(can) && can.worker_control === true
  })
  return able ? undefined : `The agent cannot give orders to workers of ${worker.engine}: the engine has no way for it, or the agent is too old.`
}
