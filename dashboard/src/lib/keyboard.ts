import { useEffect, useRef } from 'react'

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName) && !(target instanceof HTMLInputElement && target.type === 'checkbox'))

type Keys = Record<string, (event: KeyboardEvent) => void>

/** Single-key shortcuts of a page; silent while someone types or a dialog is open. */
export function useKeys(keys: Keys) {
  const current = useRef(keys)
  useEffect(() => {
    current.current = keys
  })
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return
      if (event.key === 'Enter' && event.target instanceof Element && event.target.closest('a, button, summary, input')) return
      const run = current.current[event.key]
      if (!run) return
      event.preventDefault()
      run(event)
    }
    window.addEventListener('keydown', listen)
    return () => window.removeEventListener('keydown', listen)
  }, [])
}
