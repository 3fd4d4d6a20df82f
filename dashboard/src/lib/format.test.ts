import { describe, expect, it } from 'vitest'
import { bytes, callLine, count, numberOrDash, percent, plural, shortId } from './format'

describe('callLine', () => {
  it('reads like a call', () => expect(callLine([17, 'eur'], { retry: true })).toBe('17, "eur", retry=true'))
  it('shows markers of redaction without quotes', () => expect(callLine(['<email>'], { to: '<str len=24>' })).toBe('<email>, to=<str len=24>'))
  it('is empty for a call without arguments', () => expect(callLine([], {})).toBe(''))
  it('shows arguments that are cut to a marker as a whole', () => expect(callLine('<cut>', null)).toBe('<cut>'))
})

it('says when a count stopped counting', () => {
  expect(count({ count: 10000, more: true })).toBe('10,000+')
  expect(count({ count: 12, more: false })).toBe('12')
})

it('never shows zero for what is not known', () => {
  expect(numberOrDash(null)).toBe('—')
  expect(numberOrDash(0)).toBe('0')
})

it.each([
  [0, 0, '—'],
  [1, 3000, '<0.1%'],
  [1, 40, '2.5%'],
  [40, 41, '98%'],
])('%d of %d is %s', (part, whole, text) => expect(percent(part, whole)).toBe(text))

it('agrees with its number', () => {
  expect(plural(1, 'task')).toBe('1 task')
  expect(plural(1240, 'task')).toBe('1,240 tasks')
})

it('shortens long ids only', () => {
  expect(shortId('1f9c5a2b-0000-4000-8000-000000000000')).toBe('1f9c5a2b')
  expect(shortId('job-17')).toBe('job-17')
})

it('counts bytes in binary units', () => expect(bytes(1_834_211)).toBe('1.7 MiB'))
