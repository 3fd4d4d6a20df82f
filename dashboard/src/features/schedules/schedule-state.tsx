import { CalendarClock, CircleAlert, CircleHelp, Pause, TriangleAlert } from 'lucide-react'
import type { Schedule } from '../../api/types'
import { Since } from '../../components/ui/time'
import { explainProblem, problemWords } from './problem-words'

const icons = { bad: CircleAlert, warn: TriangleAlert, plain: CircleHelp } as const
/** What goes on, rather than has happened once. */
const lasts: ReadonlySet<string> = new Set(['scheduler_silent', 'missed', 'overdue'])
const colours = { bad: 'text-bad', warn: 'text-warn', plain: 'text-muted' } as const

/** Paused, what is wrong, or on time: a shape, a word and a colour. */
export function ScheduleState({ schedule }: { schedule: Schedule }) {
  if (schedule.enabled === false) {
    return (
      <span title="It does not run until it is resumed." className="inline-flex items-center gap-1 whitespace-nowrap text-muted">
        <Pause aria-hidden size={14} /> Paused
      </span>
    )
  }
  const { problem } = schedule
  if (problem == null) {
    return (
      <span title="Nothing is known to be wrong." className="inline-flex items-center gap-1 whitespace-nowrap text-good">
        <CalendarClock aria-hidden size={14} /> On time
      </span>
    )
  }
  const { word, tone } = problemWords[problem.kind]
  const Icon = icons[tone]
  return (
    <span title={explainProblem(problem, schedule)} className={`inline-flex items-center gap-1 whitespace-nowrap ${colours[tone]}`}>
      <Icon aria-hidden size={14} /> {word}
      {problem.since != null && lasts.has(problem.kind) && <Since at={problem.since} prefix=" " />}
    </span>
  )
}
