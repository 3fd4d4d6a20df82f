/** Runs at once, then at most every `interval` ms; the last call is never lost. */
export function throttle(run: () => void, interval: number): { call: () => void; cancel: () => void } {
  let last = -Infinity
  let timer: ReturnType<typeof setTimeout> | undefined
  const fire = () => {
    timer = undefined
    last = Date.now()
    run()
  }
  return {
    call() {
      if (timer !== undefined) return
      const wait = last + interval - Date.now()
      if (wait <= 0) fire()
      else timer = setTimeout(fire, wait)
    },
    cancel() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}
