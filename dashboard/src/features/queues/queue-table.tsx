import { Link } from '@tanstack/react-router'
import type { Queue } from '../../api/types'
import { Amount, linkClass, Unknown } from '../../components/ui/amount'
import { Button } from '../../components/ui/button'
import { Findable, type Seeking } from '../../components/ui/findable'
import { Empty } from '../../components/ui/notice'
import { Table, type Column } from '../../components/ui/table'
import { Ago, Span } from '../../components/ui/time'
import { term } from '../../lib/filter'
import { number } from '../../lib/format'
import { useOperatorReason } from '../../lib/session'
import { ProblemNotes } from '../problems/problem-notes'
import type { ProblemsOf } from '../problems/use-problems'

const columns = (problems: ProblemsOf): readonly Column<Queue>[] => [
  {
    head: 'Queue',
    cell: (queue) => (
      <>
        <Link to="/tasks" search={{ q: term('queue', queue.name) }} className={`font-medium ${linkClass}`}>
          {queue.name}
        </Link>
        <span className="text-muted"> {queue.engine}</span>
        <ProblemNotes problems={problems.notes(queue.engine, queue.name)} />
      </>
    ),
  },
  {
    head: 'Waiting',
    hint: 'Messages in the broker that no worker has taken',
    right: true,
    cell: (queue) => (
      <Amount
        value={queue.depth}
        q={term('queue', queue.name)}
        state="pending"
        className="text-base font-semibold"
        title="The tasks known to wait here. The broker's count may include messages that no agent has seen."
      />
    ),
  },
  {
    head: 'In flight',
    hint: 'Taken by a worker and not yet acknowledged',
    right: true,
    wideOnly: true,
    cell: (queue) => <Amount value={queue.unacked} q={term('queue', queue.name)} state="received,started" />,
  },
  {
    head: 'Consumers',
    hint: 'Workers that take from this queue',
    right: true,
    cell: ({ consumers }) =>
      consumers == null ? (
        <Unknown />
      ) : (
        <Link to="/workers" className={linkClass}>
          {number(consumers)}
        </Link>
      ),
  },
  { head: 'Oldest', hint: 'How long the oldest message has waited', right: true, cell: (queue) => <Span ms={queue.oldest_age_ms} /> },
  { head: 'Sampled', hint: 'When the agent last asked the broker', right: true, wideOnly: true, cell: (queue) => <Ago at={queue.sampled_at} /> },
]

interface Props {
  queues: readonly Queue[]
  problems: ProblemsOf
  seeking?: Seeking
  onPurge?: (queue: Queue) => void
}

export function QueueTable({ queues, problems, seeking, onPurge }: Props) {
  const viewer = useOperatorReason()
  if (queues.length === 0) {
    return (
      <Empty title="No queue is known yet">
        Queues appear when an agent has sampled a broker.{' '}
        <Link to="/agents" className="underline">
          See the agents
        </Link>
      </Empty>
    )
  }
  const purge: Column<Queue> = {
    head: 'Actions',
    unnamed: true,
    right: true,
    cell: (queue) => (
      <Button look="danger" reason={viewer ?? (queue.depth === 0 ? 'The queue is empty.' : undefined)} aria-label={`Purge ${queue.name}`} onClick={() => onPurge?.(queue)}>
        Purge…
      </Button>
    ),
  }
  const troubled = ({ engine, name }: Queue) => Number(problems.all(engine, name).length > 0)
  const sorted = queues.toSorted((one, other) => troubled(other) - troubled(one) || (other.depth ?? 0) - (one.depth ?? 0) || one.name.localeCompare(other.name))
  return (
    <Findable items={sorted} noun="queue" text={(queue) => queue.name} seeking={seeking}>
      {(shown) => <Table label="Queues" columns={onPurge ? [...columns(problems), purge] : columns(problems)} rows={shown} rowKey={(queue) => `${queue.engine}/${queue.name}`} />}
    </Findable>
  )
}
