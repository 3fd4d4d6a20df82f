import type { TaskState } from '../api/types'
import { STATES } from './states'

/** The words before the colon that the search box understands. */
const KEYS = {
  state: 'State, or several with commas',
  name: 'Task name, * for any part',
  queue: 'Queue',
  worker: 'Worker',
  engine: 'Engine',
  id: 'Task id',
  since: 'Not older than, e.g. 2h',
  until: 'Not newer than, e.g. 1h',
  arg: 'Argument, e.g. arg:order_id=17',
} as const

type FilterKey = keyof typeof KEYS

interface Token {
  text: string
  start: number
  end: number
}

/** Splits a search into its tokens; quotes hold spaces together. */
export function tokens(input: string): Token[] {
  const found: Token[] = []
  for (const match of input.matchAll(/(?:"[^"]*"?|[^\s"])+/g)) {
    found.push({ text: match[0], start: match.index, end: match.index + match[0].length })
  }
  return found
}

/** Someone is in the middle of a word: a key without its value, or a quote that is still open. */
export const isUnfinished = (input: string): boolean => /:"?$/.test(input.trim()) || (input.split('"').length - 1) % 2 === 1

export const quote = (value: string): string => (/[\s"]/.test(value) ? `"${value.replaceAll('"', '')}"` : value)

/** `key:value`, quoted where needed. */
export const term = (key: FilterKey, value: string): string => `${key}:${quote(value)}`

export interface KnownValues {
  name: readonly string[]
  queue: readonly string[]
  worker: readonly string[]
  engine: readonly string[]
}

export interface Suggestion {
  text: string
  hint: string
  /** The whole input after taking this suggestion, and where the caret goes. */
  input: string
  caret: number
}

const AGES = ['15m', '1h', '24h', '7d']

/** What could complete the word at the caret. */
export function suggestions(input: string, caret: number, known: KnownValues): Suggestion[] {
  const current = tokens(input).find((token) => token.start <= caret && caret <= token.end) ?? { text: '', start: caret, end: caret }
  const typed = current.text.slice(0, caret - current.start)
  const complete = (text: string, hint: string, space: boolean): Suggestion => {
    const after = input.slice(current.end)
    const inserted = space && !after.startsWith(' ') ? `${text} ` : text
    return { text, hint, input: input.slice(0, current.start) + inserted + after, caret: current.start + inserted.length }
  }

  const colon = typed.indexOf(':')
  if (colon < 0) {
    return Object.entries(KEYS)
      .filter(([key]) => key.startsWith(typed.toLowerCase()))
      .map(([key, hint]) => complete(`${key}:`, hint, false))
  }
  const key = typed.slice(0, colon)
  const value = typed.slice(colon + 1).replace(/^"/, '').toLowerCase()
  return valuesOf(key, known)
    .filter((candidate) => candidate.toLowerCase().includes(value) && candidate !== value)
    .slice(0, 8)
    .map((candidate) => complete(`${key}:${quote(candidate)}`, '', true))
}

function valuesOf(key: string, known: KnownValues): readonly string[] {
  if (key === 'state') return STATES
  if (key === 'since' || key === 'until') return AGES
  if (key === 'name' || key === 'queue' || key === 'worker' || key === 'engine') return known[key]
  return []
}

export const statesOf = (state: string | undefined): TaskState[] => STATES.filter((candidate) => state?.split(',').includes(candidate))

export const WINDOWS = { '15m': '15 min', '1h': '1 hour', '24h': '24 hours', '7d': '7 days', '30d': '30 days' } as const
export type Window = keyof typeof WINDOWS
export const WINDOW_KEYS = Object.keys(WINDOWS) as Window[]
