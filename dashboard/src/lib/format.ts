import type { Count } from '../api/types'

const integer = new Intl.NumberFormat('en-US')

export const number = (value: number): string => integer.format(value)

/** A dash where we do not know, never a zero. */
export const numberOrDash = (value: number | null | undefined): string => (value == null ? '—' : integer.format(value))

export const count = (value: Count): string => `${integer.format(value.count)}${value.more ? '+' : ''}`

/** "1 task", "3 tasks". */
export const plural = (amount: number, noun: string): string => `${integer.format(amount)} ${noun}${amount === 1 ? '' : 's'}`

export const shortId = (id: string): string => (id.length > 12 ? id.slice(0, 8) : id)

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} KiB`
  if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(1)} MiB`
  return `${(value / 1024 ** 3).toFixed(1)} GiB`
}

/** A share as a percentage that never rounds something down to nothing. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '—'
  const share = (part / whole) * 100
  if (share > 0 && share < 0.1) return '<0.1%'
  return `${share < 10 ? share.toFixed(1) : Math.round(share)}%`
}

/** Python-like call arguments on one line: `17, "eur", retry=true`. */
export function callLine(args: unknown, kwargs: unknown): string {
  const positional = Array.isArray(args) ? args.map((value) => inline(value)) : args == null ? [] : [inline(args)]
  const named = isRecord(kwargs) ? Object.entries(kwargs).map(([key, value]) => `${key}=${inline(value)}`) : kwargs == null ? [] : [inline(kwargs)]
  return [...positional, ...named].join(', ')
}

function inline(value: unknown): string {
  // A redaction marker stands for a value, it is not the text itself.
  if (typeof value === 'string' && value.startsWith('<') && value.endsWith('>')) return value
  return JSON.stringify(value) ?? ''
}

export const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
