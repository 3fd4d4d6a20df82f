type LiveState = 'live' | 'reconnecting' | 'stale' | 'paused'

export interface LiveStatus {
  state: LiveState
  /** Since when what is on screen may be old; null while live. */
  since: number | null
}

interface Handlers {
  onEvent: (topic: string, data: unknown) => void
  /** Something may have been missed: everything on screen must be fetched again. */
  onGap: () => void
  onTrouble: () => void
}

const TOPICS = ['tasks', 'commands', 'agents', 'workers', 'queues', 'bulk', 'resync'] as const
const FIRST_DELAY = 250
const LONGEST_DELAY = 5000
const STALE_AFTER = 10_000

/**
 * The one EventSource of this tab. The browser gives up on some errors and waits long on others, so every error closes
 * the source and a new one is made with a delay of our own.
 */
export class LiveConnection {
  private source: EventSource | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private staleTimer: ReturnType<typeof setTimeout> | undefined
  private delay = FIRST_DELAY
  private wasLive = false
  private status: LiveStatus = { state: 'reconnecting', since: null }
  private readonly listeners = new Set<() => void>()

  constructor(
    private readonly url: string,
    private readonly handlers: Handlers,
    private readonly open: (url: string) => EventSource = (address) => new EventSource(address),
  ) {}

  readonly getStatus = (): LiveStatus => this.status

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener)
    return () => {
      this.listeners.delete(listener)
    }
  }

  start() {
    this.connect()
  }

  stop() {
    this.clearStale()
    this.disconnect()
  }

  pause() {
    this.clearStale()
    this.disconnect()
    this.set({ state: 'paused', since: Date.now() })
  }

  resume() {
    this.set({ state: 'reconnecting', since: this.status.since })
    this.delay = FIRST_DELAY
    this.connect()
  }

  private connect() {
    this.disconnect()
    const source = this.open(this.url)
    this.source = source
    source.onopen = () => {
      this.clearStale()
      this.delay = FIRST_DELAY
      const missed = this.wasLive
      this.wasLive = true
      this.set({ state: 'live', since: null })
      if (missed) this.handlers.onGap()
    }
    source.onerror = () => this.lost()
    for (const topic of TOPICS) {
      source.addEventListener(topic, (event: MessageEvent<string>) => {
        if (topic === 'resync') this.handlers.onGap()
        else this.handlers.onEvent(topic, JSON.parse(event.data))
      })
    }
  }

  private lost() {
    this.source?.close()
    const since = this.status.since ?? Date.now()
    if (this.status.state === 'live') this.set({ state: 'reconnecting', since })
    this.staleTimer ??= setTimeout(() => this.set({ state: 'stale', since }), STALE_AFTER)
    this.handlers.onTrouble()
    this.timer = setTimeout(() => this.connect(), this.delay)
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY)
  }

  private clearStale() {
    clearTimeout(this.staleTimer)
    this.staleTimer = undefined
  }

  private disconnect() {
    clearTimeout(this.timer)
    if (this.source) {
      this.source.onerror = null
      this.source.close()
      this.source = undefined
    }
  }

  private set(status: LiveStatus) {
    this.status = status
    for (const listener of this.listeners) listener()
  }
}
