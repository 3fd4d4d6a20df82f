import { describe, expect, it } from 'vitest'
import { isUnfinished, statesOf, suggestions, term, tokens } from './filter'

const known = { name: ['billing.charge', 'emails.send'], queue: ['default', 'two words'], worker: ['celery@w1'], engine: ['celery'] }
const texts = (input: string, caret = input.length) => suggestions(input, caret, known).map((suggestion) => suggestion.text)

describe('tokens', () => {
  it('keeps quoted words together', () => expect(tokens('state:failed "card declined" queue:"two words"').map((token) => token.text)).toEqual(['state:failed', '"card declined"', 'queue:"two words"']))
  it('bears a quote that is still open', () => expect(tokens('"card decl').map((token) => token.text)).toEqual(['"card decl']))
})

describe('suggestions', () => {
  it('offers every key in an empty box', () => expect(texts('')).toContain('state:'))
  it('completes keys', () => expect(texts('qu')).toEqual(['queue:']))
  it('completes states', () => expect(texts('state:re')).toEqual(['state:received', 'state:retrying', 'state:revoked', 'state:rejected']))
  it('completes names that are known, by any part', () => expect(texts('name:send')).toEqual(['name:emails.send']))
  it('quotes values with spaces', () => expect(texts('queue:two')).toEqual(['queue:"two words"']))
  it('stays quiet for plain words', () => expect(texts('declined')).toEqual([]))

  it('replaces only the word at the caret', () => {
    const [first] = suggestions('state:fa queue:default', 8, known)
    expect(first?.input).toBe('state:failed queue:default')
    expect(first?.caret).toBe('state:failed'.length)
  })
  it('goes on to the next word after a value', () => {
    const [first] = suggestions('state:fa', 8, known)
    expect(first?.input).toBe('state:failed ')
  })
})

it('reads states from the address and leaves out what is none', () => expect(statesOf('failed,nonsense,lost')).toEqual(['failed', 'lost']))

it('writes terms that the brain can read back', () => {
  expect(term('queue', 'emails')).toBe('queue:emails')
  expect(term('queue', 'two words')).toBe('queue:"two words"')
})

it('knows when someone is in the middle of a word', () => {
  for (const input of ['queue:', 'state:failed "card', 'queue:"two wo']) expect(isUnfinished(input)).toBe(true)
  for (const input of ['', 'queue:emails', '"card declined"']) expect(isUnfinished(input)).toBe(false)
})
