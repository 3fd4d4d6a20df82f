import type { Command } from '../../api/types'
import { isRecord } from '../../lib/format'

export interface RetryPreview {
  source: string
  lossless: boolean
  name: string
  queue: string
  eta: string | null
  notes: string[]
  /** Not there when the agent sends them without being able to read them. */
  args?: unknown
  kwargs?: unknown
}

export type Previewed = { can: true; preview: RetryPreview } | { can: false; code: string; message: string } | null

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** What the agent answered about the retry of one task; null while there is no answer to read. */
export function previewed(command: Command, taskId: string): Previewed {
  if (command.status === 'failed') return { can: false, code: command.error ?? '', message: command.message ?? '' }
  if (command.status !== 'succeeded' || !isRecord(command.result)) return null
  const { previews, failed } = command.result
  const told = isRecord(previews) ? previews[taskId] : undefined
  if (isRecord(told)) {
    return {
      can: true,
      preview: {
        source: text(told.source),
        lossless: told.lossless === true,
        name: text(told.name),
        queue: text(told.queue),
        eta: typeof told.eta === 'string' ? told.eta : null,
        notes: Array.isArray(told.notes) ? told.notes.filter((note) => typeof note === 'string') : [],
        args: told.args_redacted,
        kwargs: told.kwargs_redacted,
      },
    }
  }
  const why = isRecord(failed) ? failed[taskId] : undefined
  return isRecord(why) ? { can: false, code: text(why.error), message: text(why.message) } : { can: false, code: '', message: 'The agent said nothing about this task.' }
}

const sources: Record<string, string> = {
  message: 'Its message is still with the broker.',
  payload_store: 'The agent kept the arguments on its host.',
  result: 'The arguments are in the result backend.',
  worker: 'The worker that holds it told the arguments.',
  events: 'The arguments were read from their text form in events.',
  supplied: 'The arguments are those that are given here.',
}

/** Where the arguments come from, as a sentence. */
export const sourceWords = (source: string): string => sources[source] ?? 'Where the arguments come from was not said.'
