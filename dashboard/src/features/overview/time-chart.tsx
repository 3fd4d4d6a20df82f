import { useEffect, useMemo, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { StatsPoint } from '../../api/types'
import { Clock } from '../../components/ui/time'
import { number } from '../../lib/format'
import { useMedia } from '../../lib/media'
import { duration } from '../../lib/time'
import { useZone } from '../../lib/zone'
import { chartData, type Series, type Shape } from './chart-data'
import { Swatch } from './swatch'

interface Props {
  title: string
  points: readonly StatsPoint[]
  series: readonly Series[]
  shape: Shape
}

const HEIGHT = 160

/** Room for the labels of the upright axis: beside them, and for each of their letters. */
const GAP = 18
const LETTER = 5.5

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** Steps of an axis of time that read well: not "1 min 40 s". */
const SPANS = [
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 4, 6, 12, 24, 48, 96, 240, 480, 2400].map((hours) => hours * HOUR),
]

const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** A point without neighbours makes no line: it is drawn as a dot. */
const lonely: uPlot.Series.Points.Filter = (plot, series) => {
  const values = Array.from(plot.data[series] ?? [])
  const known = (index: number) => values[index] != null
  return [...values.keys()].filter((index) => known(index) && !known(index - 1) && !known(index + 1))
}

function options(series: readonly Series[], shape: Shape, width: number, zone: 'local' | 'utc'): uPlot.Options {
  const text = shape === 'bars' ? number : duration
  const axis = { stroke: token('--muted'), font: '11px system-ui, sans-serif', grid: { stroke: token('--line'), width: 1 }, ticks: { show: false } }
  const bars = uPlot.paths.bars?.({ size: [0.8, 40], align: 1 })
  // Bars are stacked by drawing the tallest sum first.
  const drawn = shape === 'bars' ? series.toReversed() : series
  return {
    width,
    height: HEIGHT,
    ...(zone === 'utc' && { tzDate: (ts: number) => uPlot.tzDate(new Date(ts * 1000), 'Etc/UTC') }),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    // A bar stands to the right of its time: the last one needs room as well.
    scales: { ...(shape === 'bars' && { x: { range: (plot, min, max) => [min, max + ((plot.data[0][1] ?? 0) - (plot.data[0][0] ?? 0))] } }), y: { range: (_plot, _min, max) => [0, Math.max(max * 1.1, 1)] } },
    axes: [
      { ...axis, values: [[3600 * 24, '{D} {MMM}', null, null, null, null, null, null, 1], [60, '{HH}:{mm}', '\n{D} {MMM}', null, null, null, null, null, 1]] },
      {
        ...axis,
        size: (_plot, labels) => GAP + LETTER * Math.max(...(labels ?? []).map((label) => label.length)),
        values: (_plot, splits) => splits.map((value) => (value === 0 ? '0' : text(value))),
        ...(shape === 'lines' && { incrs: SPANS }),
      },
    ],
    series: [
      {},
      ...drawn.map(({ name, colour }): uPlot.Series => ({
        label: name,
        stroke: token(colour),
        width: shape === 'bars' ? 0 : 1.5,
        points: { show: shape === 'lines', size: 4, filter: lonely },
        spanGaps: false,
        ...(bars && shape === 'bars' && { fill: token(colour), paths: bars }),
      })),
    ],
  }
}

export default function TimeChart({ title, points, series, shape }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const dark = useMedia('(prefers-color-scheme: dark)')
  const zone = useZone()
  const data = useMemo(() => chartData(points, series, shape), [points, series, shape])
  const latest = useRef(data)

  useEffect(() => {
    latest.current = data
    plot.current?.setData(data)
  }, [data])

  // `dark` is not read here, but the colours that are read follow it.
  useEffect(() => {
    const element = box.current
    if (!element) return
    const chart = new uPlot(options(series, shape, element.clientWidth, zone), latest.current, element)
    plot.current = chart
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }))
    resize.observe(element)
    return () => {
      resize.disconnect()
      chart.destroy()
      plot.current = undefined
    }
  }, [series, shape, zone, dark])

  return (
    <figure>
      {shape === 'bars' && (
        <figcaption className="mb-1 flex min-h-6 flex-wrap items-center gap-x-4 text-xs text-muted">
          {series.map(({ name, colour }) => (
            <span key={name}>
              <Swatch colour={colour} /> {name}
            </span>
          ))}
        </figcaption>
      )}
      <div ref={box} aria-hidden className="min-w-0 overflow-hidden" />
      <details className="text-xs">
        <summary className="text-muted">As a table</summary>
        <div tabIndex={0} role="group" aria-label={`${title} as a table`} className="max-h-48 overflow-y-auto">
          <table className="w-full text-right">
            <thead>
              <tr>
                <th scope="col" className="text-left font-medium">From</th>
                {series.map(({ name }) => (
                  <th key={name} scope="col" className="font-medium">{name}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {points.toReversed().map((point) => (
                <tr key={point.ts}>
                  <td className="text-left">
                    <Clock at={point.ts} />
                  </td>
                  {series.map(({ name, of }) => {
                    const value = of(point)
                    return <td key={name}>{value === null ? '—' : shape === 'bars' ? number(value) : duration(value)}</td>
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}
