import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { LiveConnection } from './connection'

class FakeSource extends EventTarget {
  static all: FakeSource[] = []
  onopen: (() => void) | null = null
  onerror: (() => void) | null = null
  closed = false
  constructor(readonly url: string) {
    super()
    FakeSource.all.push(this)
  }
  close() {
    this.closed = true
  }
}

const handlers = { onEvent: vi.fn(), onGap: vi.fn(), onTrouble: vi.fn() }
const latest = () => FakeSource.all.at(-1)!

function connect() {
  const connection = new LiveConnection('/stream', handlers, (url) => new FakeSource(url) as unknown as EventSource)
  connection.start()
  return connection
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.clearAllMocks()
  FakeSource.all = []
})
afterEach(() => vi.useRealTimers())

it('passes events on', () => {
  connect()
  latest().onopen?.()
  latest().dispatchEvent(new MessageEvent('tasks', { data: '{"changed":1,"items":[]}' }))
  expect(handlers.onEvent).toHaveBeenCalledWith('tasks', { changed: 1, items: [] })
  expect(handlers.onGap).not.toHaveBeenCalled()
})

it('connects again after an error, and has everything fetched again', () => {
  const connection = connect()
  latest().onopen?.()
  expect(connection.getStatus().state).toBe('live')
  latest().onerror?.()
  expect(connection.getStatus().state).toBe('reconnecting')
  vi.advanceTimersByTime(300)
  expect(FakeSource.all).toHaveLength(2)
  expect(FakeSource.all[0]?.closed).toBe(true)
  latest().onopen?.()
  expect(connection.getStatus()).toEqual({ state: 'live', since: null })
  expect(handlers.onGap).toHaveBeenCalledTimes(1)
})

it('says that the page is stale when the brain stays away, and keeps trying', () => {
  const connection = connect()
  latest().onopen?.()
  const lostAt = Date.now()
  for (let second = 0; second < 30; second++) {
    latest().onerror?.()
    vi.advanceTimersByTime(5000)
  }
  expect(connection.getStatus()).toEqual({ state: 'stale', since: lostAt })
  latest().onopen?.()
  expect(connection.getStatus().state).toBe('live')
})

it('fetches everything again on a resync', () => {
  connect()
  latest().onopen?.()
  latest().dispatchEvent(new MessageEvent('resync', { data: '{}' }))
  expect(handlers.onGap).toHaveBeenCalledTimes(1)
})

it('does nothing while paused, and catches up afterwards', () => {
  const connection = connect()
  latest().onopen?.()
  connection.pause()
  vi.advanceTimersByTime(60_000)
  expect(connection.getStatus().state).toBe('paused')
  expect(FakeSource.all).toHaveLength(1)
  connection.resume()
  latest().onopen?.()
  expect(handlers.onGap).toHaveBeenCalledTimes(1)
})
