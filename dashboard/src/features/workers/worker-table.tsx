import { Link } from '@tanstack/react-router'
import { TriangleAlert } from 'lucide-react'
import type { Agent, Worker } from '../../api/types'
import { linkClass, Unknown } from '../../components/ui/amount'
import { Button } from '../../components/ui/button'
import { Findable, type Seeking } from '../../components/ui/findable'
import { Empty } from '../../components/ui/notice'
import { Table, type Column } from '../../components/ui/table'
import { Ago } from '../../components/ui/time'
import { term } from '../../lib/filter'
import { number, numberOrDash } from '../../lib/format'
import { useOperatorReason } from '../../lib/session'
import { ProblemNotes } from '../problems/problem-notes'
import type { ProblemsOf } from '../problems/use-problems'
import { whyNoOrders } from './worker-order'

const states = {
  online: { mark: '●', word: 'Online', colour: 'text-good', why: 'It sends heartbeats' },
  offline: { mark: '✕', word: 'Offline', colour: 'text-bad', why: 'It said goodbye, or its heartbeats stopped' },
  unknown: { mark: '?', word: 'Unknown', colour: 'text-warn', why: 'Nothing was heard from it, or from the agent that watches it' },
} as const

function Busy({ worker: { name, state, active, concurrency } }: { worker: Worker }) {
  if (active == null && concurrency == null) return <Unknown />
  if (state === 'offline') {
    return (
      <span title="When it was last heard" className="text-muted">
        {numberOrDash(active)} of {numberOrDash(concurrency)}
      </span>
    )
  }
  return (
    <Link to="/tasks" search={{ q: term('worker', name), state: 'started' }} className="inline-flex flex-col items-end gap-0.5 max-sm:flex-row max-sm:items-center max-sm:gap-2" title="Tasks running on it now">
      <span className={linkClass}>
        {numberOrDash(active)} of {numberOrDash(concurrency)}
      </span>
      {active != null && concurrency != null && concurrency > 0 && (
        <span aria-hidden className="h-1 w-16 overflow-hidden rounded-full bg-raised">
          <span className="block h-full bg-busy" style={{ width: `${Math.min(100, (active / concurrency) * 100)}%` }} />
        </span>
      )}
    </Link>
  )
}

/** A worker is found by its name and by the queues it consumes. */
export const foundBy = ({ name, queues }: Worker): string => [name, ...queues].join(' ')

const columns = (problems: ProblemsOf): readonly Column<Worker>[] => [
  {
    head: 'Worker',
    cell: (worker) => (
      <>
        <Link to="/tasks" search={{ q: term('worker', worker.name) }} className={`font-medium break-all ${linkClass}`}>
          {worker.name}
        </Link>
        <span className="block text-xs text-muted">
          {[worker.engine, worker.software, worker.pool, worker.hostname != null && !worker.name.includes(worker.hostname) && worker.hostname, worker.pid != null && `pid ${worker.pid}`]
            .filter(Boolean)
            .join(' · ')}
        </span>
        <ProblemNotes problems={problems.notes(worker.engine, worker.name)} />
        {worker.state === 'online' && worker.queues.length === 0 && (
          <span className="flex items-center gap-1 text-xs text-warn">
            <TriangleAlert aria-hidden size={13} /> Alive, but no queue of it is known
          </span>
        )}
      </>
    ),
  },
  {
    head: 'State',
    unnamed: true,
    cell: ({ state }) => (
      <span title={states[state].why} className="whitespace-nowrap">
        <span aria-hidden className={states[state].colour}>
          {states[state].mark}
        </span>{' '}
        {states[state].word}
      </span>
    ),
  },
  { head: 'Busy', hint: 'Tasks running, of how many it can run at once', right: true, cell: (worker) => <Busy worker={worker} /> },
  {
    head: 'Queues',
    wideOnly: true,
    cell: ({ queues }) =>
      queues.length === 0 ? (
        <Unknown />
      ) : (
        queues.map((queue, index) => (
          <span key={queue}>
            {index > 0 && ', '}
            <Link to="/tasks" search={{ q: term('queue', queue) }} className={linkClass}>
              {queue}
            </Link>
          </span>
        ))
      ),
  },
  { head: 'Processed', hint: 'Tasks finished since the worker began', right: true, wideOnly: true, cell: ({ processed }) => (processed == null ? <Unknown /> : number(processed)) },
  { head: 'Load', hint: 'Load average of its host: 1, 5 and 15 minutes', right: true, wideOnly: true, cell: ({ loadavg }) => (loadavg == null ? <Unknown /> : loadavg.map((load) => load.toFixed(2)).join(' ')) },
  { head: 'Heard', hint: 'When something was last heard from it', right: true, cell: (worker) => <Ago at={worker.last_seen_at} /> },
]

interface Props {
  workers: readonly Worker[]
  problems: ProblemsOf
  agents?: readonly Agent[] | undefined
  seeking?: Seeking
  onOrder?: (worker: Worker) => void
}

export function WorkerTable({ workers, problems, agents, seeking, onOrder }: Props) {
  const viewer = useOperatorReason()
  if (workers.length === 0) {
    return (
      <Empty title="No worker is known to be alive">
        Workers appear when they send heartbeats. Start one, or{' '}
        <Link to="/agents" className="underline">
          see whether an agent is connected
        </Link>
        .
      </Empty>
    )
  }
  const orders: Column<Worker> = {
    head: 'Orders',
    unnamed: true,
    right: true,
    cell: (worker) => (
      <Button reason={viewer ?? whyNoOrders(worker, agents)} aria-label={`Order to ${worker.name}`} onClick={() => onOrder?.(worker)}>
        Order…
      </Button>
    ),
  }
  const sorted = workers.toSorted((one, other) => one.name.localeCompare(other.name))
  return (
    <Findable items={sorted} noun="worker" text={foundBy} seeking={seeking}>
      {(shown) => <Table label="Workers" columns={onOrder ? [...columns(problems), orders] : columns(problems)} rows={shown} rowKey={(worker) => `${worker.engine}/${worker.name}`} />}
    </Findable>
  )
}
