import type { ScheduleFields } from '../../api/commands'
import type { Schedule } from '../../api/types'
import { isRecord } from '../../lib/format'

export const KINDS = ['crontab', 'interval', 'clocked', 'solar'] as const
export type Kind = (typeof KINDS)[number]

/** What a person is writing. */
export interface Draft {
  name: string
  task: string
  kind: Kind
  expression: string
  timezone: string
  queue: string
  args: string
  kwargs: string
  description: string
}

export const EXAMPLES: Record<Kind, { text: string; example: string; hint: string }> = {
  crontab: { text: 'At times of day', example: '0 3 * * mon-fri', hint: 'minute, hour, day of month, month, day of week' },
  interval: { text: 'At an interval', example: '5m', hint: 'a whole number and a unit: 30s, 5m, 2h, 1d' },
  clocked: { text: 'Once', example: '2026-12-24T18:00:00Z', hint: 'a time with its zone' },
  solar: { text: 'With the sun', example: 'sunset 52.52 13.40', hint: 'an event, latitude, longitude' },
}

const isKind = (kind: unknown): kind is Kind => KINDS.some((known) => known === kind)

export function draftOf(schedule: Schedule | undefined, zone: string): Draft {
  return {
    name: schedule?.name ?? '',
    task: schedule?.task ?? '',
    kind: isKind(schedule?.kind) ? schedule.kind : 'crontab',
    expression: schedule?.expression ?? '',
    timezone: schedule ? (schedule.timezone ?? 'UTC') : zone,
    queue: schedule?.queue ?? '',
    // What is known of the arguments of a schedule is redacted: they stay as they are unless new ones are written.
    args: schedule ? '' : '[]',
    kwargs: schedule ? '' : '{}',
    description: schedule?.description ?? '',
  }
}

type Parsed = { ok: true; fields: ScheduleFields } | { ok: false; why: string }

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** What to send: all of a new schedule, or what a person has changed of one. */
export function fieldsOf(draft: Draft, before: Schedule | undefined): Parsed {
  const fields: ScheduleFields = {}
  const name = draft.name.trim()
  const task = draft.task.trim()
  if (name === '') return { ok: false, why: 'Give it a name.' }
  if (task === '') return { ok: false, why: 'Say which task type it sends.' }
  if (draft.expression.trim() === '') return { ok: false, why: 'Say when it runs.' }
  const args = draft.args.trim() === '' ? undefined : json(draft.args)
  const kwargs = draft.kwargs.trim() === '' ? undefined : json(draft.kwargs)
  if (draft.args.trim() !== '' && !Array.isArray(args)) return { ok: false, why: 'The arguments are not a JSON array.' }
  if (draft.kwargs.trim() !== '' && !isRecord(kwargs)) return { ok: false, why: 'The keyword arguments are not a JSON object.' }

  const original = before && draftOf(before, 'UTC')
  const timing = { kind: draft.kind, expression: draft.expression.trim(), ...(draft.kind === 'crontab' && { timezone: draft.timezone }) }
  const sameTiming = original && original.kind === draft.kind && original.expression === timing.expression && (draft.kind !== 'crontab' || original.timezone === draft.timezone)
  if (!sameTiming) Object.assign(fields, timing, draft.kind === 'clocked' ? { one_off: true } : {})
  if (original?.name !== name) fields.name = name
  if (original?.task !== task) fields.task = task
  if ((original?.queue ?? '') !== draft.queue.trim()) fields.queue = draft.queue.trim() || null
  if ((original?.description ?? '') !== draft.description.trim()) fields.description = draft.description.trim()
  if (Array.isArray(args) && (before !== undefined || args.length > 0)) fields.args = args
  if (isRecord(kwargs) && (before !== undefined || Object.keys(kwargs).length > 0)) fields.kwargs = kwargs
  if (Object.keys(fields).length === 0) return { ok: false, why: 'Nothing is changed.' }
  return { ok: true, fields }
}
