import { useSyncExternalStore } from 'react'

// One timer for the whole page, running only while something shows an age.
const listeners = new Set<() => void>()
let now = Date.now()
let timer: ReturnType<typeof setInterval> | undefined

const subscribe = (listener: () => void) => {
  listeners.add(listener)
  timer ??= setInterval(() => {
    now = Date.now()
    for (const notify of listeners) notify()
  }, 1000)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

function read() {
  // Between the last view of an age and this one the timer may have stood still.
  if (timer === undefined && Date.now() - now > 1000) now = Date.now()
  return now
}

/** The present, in steps of one second. */
export const useNow = (): number => useSyncExternalStore(subscribe, read)
