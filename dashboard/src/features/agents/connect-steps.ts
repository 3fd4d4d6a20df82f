import type { Agent } from '../../api/types'

export type StepState = 'waiting' | 'done' | 'stuck'

interface Step {
  name: string
  state: StepState
  /** What was seen, or after a while the probable cause. */
  note: string | null
}

interface Seen {
  /** The agent that connected with the new token, once there is one. */
  agent: Agent | null
  hasEvent: boolean
  /** How long ago the line was shown. */
  waitedMs: number
  address: string
}

const PATIENCE = 30_000

/** Said hello, engine found, first event: what is done, and what is probably wrong when one takes long. */
export function connectSteps({ agent, hasEvent, waitedMs, address }: Seen): Step[] {
  const late = waitedMs >= PATIENCE
  const adapters = agent ? Object.entries(agent.adapters) : []
  const broken = adapters.find(([, state]) => state !== 'ok')
  const found = adapters.length > 0 && !broken
  const step = (name: string, done: boolean, turn: boolean, seen: string | null, cause: string): Step => {
    if (done) return { name, state: 'done', note: seen }
    return late && turn ? { name, state: 'stuck', note: cause } : { name, state: 'waiting', note: null }
  }
  return [
    step(
      'Said hello',
      agent !== null,
      true,
      agent && `${agent.name} is connected`,
      `Nothing has connected for 30 seconds. Look at what the agent printed. If it cannot connect, ${address} is probably not reachable from its host; if it was refused, the token was probably cut when copied.`,
    ),
    broken
      ? { name: 'Found the engine', state: 'stuck', note: `${broken[0]}: ${broken[1]}` }
      : step(
          'Found the engine',
          found,
          agent !== null,
          adapters.map(([name]) => name).join(', '),
          'The agent is here but has not reached a broker. Check the address after --celery: it must be the broker of your Celery app, reachable from the agent.',
        ),
    step(
      'First event',
      hasEvent,
      found,
      'Tasks are arriving',
      'No task was seen since. Either none was sent (send one), or the workers do not send events: start them with -E, or set worker_send_task_events and task_send_sent_event.',
    ),
  ]
}
