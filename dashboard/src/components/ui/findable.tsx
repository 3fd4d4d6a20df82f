import { Search } from 'lucide-react'
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { number, plural } from '../../lib/format'
import { Button } from './button'

/** Shorter lists need no field: the eye is faster. */
const SHORT = 20
/** As many are drawn at first, and with each wish for more: thousands would make the page slow. */
const STEP = 50

export interface Seeking {
  sought: string
  onSeek: (sought: string) => void
}

/** Whether a text has what is sought in it; everything has nothing in it. */
export const holds = (text: string, sought: string): boolean => text.toLowerCase().includes(sought.trim().toLowerCase())

interface Props<Item> {
  items: readonly Item[]
  /** One of them: "agent". */
  noun: string
  /** What an item is found by. */
  text: (item: Item) => string
  /** The text in the address, where it stands there; without, the list keeps it to itself. */
  seeking?: Seeking | undefined
  children: (shown: readonly Item[]) => ReactNode
}

/** A list that may be long: a field that finds items by name, and more of them when asked for. */
export function Findable<Item>({ items, noun, text, seeking, children }: Props<Item>) {
  const input = useRef<HTMLInputElement>(null)
  const [sought, setSought] = useState(seeking?.sought ?? '')
  const [room, setRoom] = useState(STEP)
  // The address follows what is typed; it leads when it changes by itself: back, or a link.
  const told = seeking?.sought
  useEffect(() => {
    if (told !== undefined && document.activeElement !== input.current) setSought(told)
  }, [told])
  if (items.length <= SHORT && sought === '') return children(items)
  const found = items.filter((item) => holds(text(item), sought))
  const rest = found.length - room
  return (
    <div className="flex flex-col gap-3">
      <label className="mx-3 mt-3 flex max-w-md items-center gap-2 rounded-md border border-line bg-surface px-2.5 focus-within:border-accent">
        <Search aria-hidden size={15} className="shrink-0 text-muted" />
        <input
          ref={input}
          value={sought}
          onChange={(event) => {
            setSought(event.target.value)
            seeking?.onSeek(event.target.value)
            setRoom(STEP)
          }}
          aria-label={`Find ${noun}s`}
          placeholder={`Find among ${plural(items.length, noun)}`}
          spellCheck={false}
          autoComplete="off"
          className="w-full min-w-0 bg-transparent py-1.5 text-sm outline-none placeholder:text-muted"
        />
      </label>
      {found.length === 0 ? <p className="px-3 pb-3 text-sm text-muted">None of {plural(items.length, noun)} is named so.</p> : children(found.slice(0, room))}
      {rest > 0 && (
        <div className="px-3 pb-3">
          <Button onClick={() => setRoom(room + STEP)}>
            Show {number(Math.min(STEP, rest))} of {number(rest)} more
          </Button>
        </div>
      )}
    </div>
  )
}
