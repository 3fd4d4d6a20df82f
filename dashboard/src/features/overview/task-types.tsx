import { linkClass } from '../../components/ui/amount'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { taskTypesQuery } from '../../api/queries'
import type { TaskType } from '../../api/types'
import { Empty } from '../../components/ui/notice'
import { Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Segments } from '../../components/ui/segments'
import { Table, type Column } from '../../components/ui/table'
import { Span } from '../../components/ui/time'
import { term, WINDOWS, type Window } from '../../lib/filter'
import { number, percent } from '../../lib/format'
import { useProject } from '../../lib/session'

const ORDERS = [
  { value: 'cost', text: 'Costliest' },
  { value: 'failures', text: 'Most failing' },
] as const
type Order = (typeof ORDERS)[number]['value']

const SHOWN = 10

const columns = (since: Window): readonly Column<TaskType>[] => [
  {
    head: 'Task',
    cell: ({ name }) => (
      <Link to="/tasks" search={{ q: term('name', name), since }} className={`font-medium break-all ${linkClass}`}>
        {name}
      </Link>
    ),
  },
  { head: 'Total run time', hint: 'All runs of the window together', right: true, cell: (type) => <Span ms={type.total_runtime_ms} /> },
  {
    head: 'Succeeded',
    right: true,
    cell: ({ name, succeeded }) => (
      <Link to="/tasks" search={{ q: term('name', name), state: 'succeeded', since }} className={linkClass}>
        {number(succeeded)}
      </Link>
    ),
  },
  {
    head: 'Failed',
    right: true,
    cell: ({ name, succeeded, failed }) => (
      <Link to="/tasks" search={{ q: term('name', name), state: 'failed', since }} className={`${linkClass} ${failed > 0 ? 'text-bad' : ''}`}>
        {number(failed)} {failed > 0 && `(${percent(failed, succeeded + failed)})`}
      </Link>
    ),
  },
  { head: 'Retried', right: true, wideOnly: true, cell: ({ retried }) => number(retried) },
  { head: 'Run p50', right: true, wideOnly: true, cell: (type) => <Span ms={type.runtime_p50_ms} /> },
  { head: 'Run p95', right: true, wideOnly: true, cell: (type) => <Span ms={type.runtime_p95_ms} /> },
  { head: 'Wait p95', right: true, wideOnly: true, cell: (type) => <Span ms={type.wait_p95_ms} /> },
]

const orders: Record<Order, (one: TaskType, other: TaskType) => number> = {
  cost: (one, other) => other.total_runtime_ms - one.total_runtime_ms,
  failures: (one, other) => other.failed - one.failed || other.retried - one.retried,
}

export function TaskTypes({ since }: { since: Window }) {
  const query = useQuery(taskTypesQuery(useProject(), since))
  const [order, setOrder] = useState<Order>('cost')
  return (
    <Panel title="Task types" aside={<Segments label="Order of task types" options={ORDERS} value={order} onChange={setOrder} />} flush>
      <QueryView query={query} what="task types">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title={`No task was seen in the last ${WINDOWS[since]}`} />
          ) : (
            <Table label="Task types" columns={columns(since)} rows={items.toSorted(orders[order]).slice(0, SHOWN)} rowKey={({ engine, name }) => `${engine ?? ''}/${name}`} />
          )
        }
      </QueryView>
    </Panel>
  )
}
