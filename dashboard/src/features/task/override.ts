import type { RetryOverride } from '../../api/commands'
import { isRecord } from '../../lib/format'
import { redaction } from '../../lib/redaction'

type Parsed = { ok: true; override: RetryOverride } | { ok: false; why: string }

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Reads what was typed as arguments, or says what is wrong with it. */
export function parseArguments(args: string, kwargs: string): Parsed {
  const list = json(args)
  if (!Array.isArray(list)) return { ok: false, why: 'The arguments are not a JSON array, such as [17, "eur"].' }
  const named = json(kwargs)
  if (!isRecord(named)) return { ok: false, why: 'The keyword arguments are not a JSON object, such as {"retry": true}.' }
  return { ok: true, override: { args: list, kwargs: named } }
}

/** Where and when to run it instead; nothing when neither was given. */
export function elsewhere(queue: string, after: string): RetryOverride | undefined {
  const at = new Date(after)
  const override = { ...(queue.trim() !== '' && { queue: queue.trim() }), ...(!Number.isNaN(at.getTime()) && { eta: at.toISOString() }) }
  return Object.keys(override).length === 0 ? undefined : override
}

/** Whether a marker of redaction is still somewhere inside. */
export function hasRedaction(value: unknown): boolean {
  if (typeof value === 'string') return redaction(value) !== null
  if (Array.isArray(value)) return value.some(hasRedaction)
  return isRecord(value) && Object.values(value).some(hasRedaction)
}
