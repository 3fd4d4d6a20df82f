import type { Schedule, ScheduleProblem, ScheduleRun } from '../../api/types'

type Kind = ScheduleProblem['kind']
type Tone = 'bad' | 'warn' | 'plain'

/** What is wrong, in a word or two, and how much it matters. */
export const problemWords: Record<Kind, { word: string; tone: Tone }> = {
  scheduler_silent: { word: 'Scheduler silent', tone: 'bad' },
  missed: { word: 'Missed', tone: 'bad' },
  overdue: { word: 'Overdue', tone: 'warn' },
  late: { word: 'Last run late', tone: 'warn' },
  overlapping: { word: 'Runs overlap', tone: 'warn' },
  agent_away: { word: 'Not watched', tone: 'plain' },
  not_understood: { word: 'Not understood', tone: 'plain' },
}

/** What is wrong and what to do, in a sentence. */
export function explainProblem(problem: ScheduleProblem, { scheduler, kind }: Pick<Schedule, 'scheduler' | 'kind'>): string {
  switch (problem.kind) {
    case 'scheduler_silent':
      return `${scheduler} has sent nothing at all since then, though things were due. See that it runs.`
    case 'missed':
      return 'It should have run, and there is no sign that it did. Look at the log of its scheduler; to make up for it, run it now.'
    case 'overdue':
      return 'It should have run by now, and there is no sign of it yet.'
    case 'late':
      return 'It ran, but well after it was due.'
    case 'overlapping':
      return 'It was sent again before the task of the run before had ended. Give it more time between runs, or a lock.'
    case 'agent_away':
      return 'No agent that sees its scheduler is connected: what it does now is not known.'
    case 'not_understood':
      if (kind === 'unknown') return 'Its scheduler tells its times in words of its own: its next runs cannot be computed, and a run that is missed is not noticed.'
      return `When it runs cannot be computed: ${problem.message ?? 'its timing is not understood'}.`
  }
}

/** True for what someone should look at. */
export const needsAttention = (schedule: Schedule): boolean => schedule.problem != null && problemWords[schedule.problem.kind].tone !== 'plain'

/** A schedule that its scheduler cannot change, so that nothing of the kind is offered. */
export const isFixed = (schedule: Schedule): boolean => schedule.read_only === true

/** Schedulers that can only be read, as all of their schedules tell: nothing can be made there, either. */
export function fixedSchedulers(schedules: readonly Schedule[]): ReadonlySet<string> {
  const changeable = new Set(schedules.filter((schedule) => !isFixed(schedule)).map(({ scheduler }) => scheduler))
  return new Set(schedules.map(({ scheduler }) => scheduler).filter((scheduler) => !changeable.has(scheduler)))
}

/** Why a schedule cannot be changed from here, or undefined. */
export function readOnlyReason(schedule: Schedule): string | undefined {
  if (isFixed(schedule)) return "It stands in the application's settings: change it there."
  if (!schedule.connected) return 'No agent that tells of it is connected.'
  return undefined
}

export const runWords: Record<ScheduleRun['state'], { word: string; meaning: string }> = {
  seen: { word: 'Ran', meaning: 'It ran in time.' },
  late: { word: 'Late', meaning: 'It ran, but well after it was due.' },
  missed: { word: 'Missed', meaning: 'There is no sign that it ran.' },
  overdue: { word: 'Overdue', meaning: 'There is no sign of it yet.' },
  due: { word: 'Due', meaning: 'Its time has come; it is too early to tell.' },
  unknown: { word: 'Not known', meaning: 'No agent that sees its scheduler was connected then.' },
}

const evidences: Record<NonNullable<ScheduleRun['evidence']>, string> = {
  last_run_at: "the scheduler's own record",
  run_count: "the scheduler's count of runs",
  task: 'a task of its type that appeared then',
}

export const knownBy = (run: ScheduleRun): string | null => (run.evidence == null ? null : evidences[run.evidence])

/** "18 ran, 1 late, 1 missed". */
export function summary(runs: readonly ScheduleRun[]): string {
  const order: ScheduleRun['state'][] = ['seen', 'late', 'missed', 'overdue', 'due', 'unknown']
  const parts = order.flatMap((state) => {
    const count = runs.filter((run) => run.state === state).length
    return count === 0 ? [] : [`${count} ${runWords[state].word.toLowerCase()}`]
  })
  return parts.join(', ')
}
