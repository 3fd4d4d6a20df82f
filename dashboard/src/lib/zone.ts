import { useSyncExternalStore } from 'react'
import type { Zone } from './time'

const KEY = 'taskplane.zone'
const listeners = new Set<() => void>()
let zone: Zone = localStorage.getItem(KEY) === 'utc' ? 'utc' : 'local'

export function setZone(next: Zone) {
  zone = next
  localStorage.setItem(KEY, next)
  for (const listener of listeners) listener()
}

const subscribe = (listener: () => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const useZone = (): Zone => useSyncExternalStore(subscribe, () => zone)
