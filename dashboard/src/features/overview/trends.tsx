import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense } from 'react'
import { statsQuery } from '../../api/queries'
import type { StatsPoint } from '../../api/types'
import { Empty, Loading } from '../../components/ui/notice'
import { Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import type { Window } from '../../lib/filter'
import { useProject } from '../../lib/session'
import { Percentiles } from './percentiles'
import type { Series } from './chart-data'

const TimeChart = lazy(() => import('./time-chart'))

const STEPS: Record<Window, { step: string; words: string }> = {
  '15m': { step: '1m', words: 'a minute' },
  '1h': { step: '1m', words: 'a minute' },
  '24h': { step: '30m', words: 'half an hour' },
  '7d': { step: '3h', words: '3 hours' },
  '30d': { step: '12h', words: '12 hours' },
}

const outcomes: readonly Series[] = [
  { name: 'succeeded', colour: '--good', of: (point) => point.succeeded },
  { name: 'failed', colour: '--bad', of: (point) => point.failed },
  { name: 'retried', colour: '--warn', of: (point) => point.retried },
  { name: 'cancelled', colour: '--odd', of: (point) => point.revoked },
]
const runs: readonly Series[] = [
  { name: 'p50', colour: '--good', of: (point) => point.runtime_p50_ms ?? null },
  { name: 'p95', colour: '--warn', of: (point) => point.runtime_p95_ms ?? null },
  { name: 'p99', colour: '--bad', of: (point) => point.runtime_p99_ms ?? null },
]
const waits: readonly Series[] = [
  { name: 'p50', colour: '--good', of: (point) => point.wait_p50_ms ?? null },
  { name: 'p95', colour: '--warn', of: (point) => point.wait_p95_ms ?? null },
  { name: 'p99', colour: '--bad', of: (point) => point.wait_p99_ms ?? null },
]

export function Trends({ since }: { since: Window }) {
  const { step, words } = STEPS[since]
  const query = useQuery(statsQuery(useProject(), since, step))
  return (
    <div className="grid gap-4 xl:grid-cols-3">
      <Panel title="Throughput" aside={`outcomes ${words === 'a minute' ? 'a minute' : `per ${words}`}`}>
        <QueryView query={query} what="throughput">
          {({ items }) => <Chart title="Throughput by outcome" points={items} series={outcomes} shape="bars" />}
        </QueryView>
      </Panel>
      <Panel title="Run time" aside="from start to end">
        <QueryView query={query} what="run times">
          {({ items }) => (
            <>
              <Percentiles points={items} series={runs} />
              <Chart title="Run time" points={items} series={runs} shape="lines" />
            </>
          )}
        </QueryView>
      </Panel>
      <Panel title="Wait time" aside="from sent, else from received, to start">
        <QueryView query={query} what="wait times">
          {({ items }) => (
            <>
              <Percentiles points={items} series={waits} />
              <Chart title="Wait time" points={items} series={waits} shape="lines" />
            </>
          )}
        </QueryView>
      </Panel>
    </div>
  )
}

function Chart({ title, points, series, shape }: { title: string; points: readonly StatsPoint[]; series: readonly Series[]; shape: 'bars' | 'lines' }) {
  if (!points.some((point) => series.some(({ of }) => (of(point) ?? 0) > 0))) return <Empty title="Nothing finished in this window" />
  return (
    <Suspense fallback={<Loading what="chart" />}>
      <TimeChart title={title} points={points} series={series} shape={shape} />
    </Suspense>
  )
}
