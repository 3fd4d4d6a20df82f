import type { StatsPoint } from '../../api/types'
import { Clock, Span } from '../../components/ui/time'
import type { Series } from './chart-data'
import { Swatch } from './swatch'

/** The newest figures and the time they are from; also the legend of the chart below. */
export function Percentiles({ points, series }: { points: readonly StatsPoint[]; series: readonly Series[] }) {
  const last = points.findLast((point) => series.some(({ of }) => of(point) !== null))
  if (!last) return null
  return (
    <dl className="mb-1 flex flex-wrap items-baseline gap-x-4">
      {series.map(({ name, colour, of }) => (
        <div key={name} className="flex items-baseline gap-1.5">
          <dt className="text-xs text-muted">
            <Swatch colour={colour} /> {name}
          </dt>
          <dd className="text-base font-semibold">
            <Span ms={of(last)} />
          </dd>
        </div>
      ))}
      <div className="text-xs text-muted">
        <dt className="sr-only">From</dt>
        <dd>
          at <Clock at={last.ts} />
        </dd>
      </div>
    </dl>
  )
}
