import type uPlot from 'uplot'
import type { StatsPoint } from '../../api/types'

export type Shape = 'bars' | 'lines'

export interface Series {
  name: string
  /** A CSS variable. */
  colour: string
  of: (point: StatsPoint) => number | null
}

/** Columns for the chart. Bars stand on each other, so each column is a running sum, the tallest first. */
export function chartData(points: readonly StatsPoint[], series: readonly Pick<Series, 'of'>[], shape: Shape): uPlot.AlignedData {
  const times = points.map((point) => Date.parse(point.ts) / 1000)
  const columns = series.map(({ of }) => points.map((point) => of(point)))
  if (shape === 'lines') return [times, ...columns]
  const sums: number[][] = []
  for (const column of columns) {
    const below = sums.at(-1)
    sums.push(column.map((value, index) => (value ?? 0) + (below?.[index] ?? 0)))
  }
  return [times, ...sums.toReversed()]
}
