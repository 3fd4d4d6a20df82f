import { Search } from 'lucide-react'
import { useState, type ReactNode } from 'react'
import { number, plural } from '../../lib/format'
import { Button } from './button'

/** Shorter lists need no field: the eye is faster. */
const SHORT = 20
/** As many are drawn at first, and with each wish for more: thousands would make the page slow. */
const STEP = 50

interface Props<Item> {
  items: readonly Item[]
  /** One of them: "agent". */
  noun: string
  /** What an item is found by. */
  text: (item: Item) => string
  children: (shown: readonly Item[]) => ReactNode
}

/** A list that may be long: a field that finds items by name, and more of them when asked for. */
export function Findable<Item>({ items, noun, text, children }: Props<Item>) {
  const [sought, setSought] = useState('')
  const [room, setRoom] = useState(STEP)
  if (items.length <= SHORT) return children(items)
  const needle = sought.trim().toLowerCase()
  const found = needle === '' ? items : items.filter((item) => text(item).toLowerCase().includes(needle))
  const rest = found.length - room
  return (
    <div className="flex flex-col gap-3">
      <label className="mx-3 mt-3 flex max-w-md items-center gap-2 rounded-md border border-line bg-surface px-2.5 focus-within:border-accent">
        <Search aria-hidden size={15} className="shrink-0 text-muted" />
        <input
          value={sought}
          onChange={(event) => {
            setSought(event.target.value)
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
