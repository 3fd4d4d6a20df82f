import { Search, X } from 'lucide-react'
import { useEffect, useId, useRef, useState, type KeyboardEvent } from 'react'
import { isUnfinished, suggestions, type Suggestion } from '../../lib/filter'
import { useKeys } from '../../lib/keyboard'
import { useKnownValues } from './known-values'

const APPLY_AFTER = 300

interface Props {
  value: string
  onChange: (value: string) => void
  /** What the brain says about a search that it does not understand. */
  problem: string | undefined
}

export function SearchBox({ value, onChange, problem }: Props) {
  const input = useRef<HTMLInputElement>(null)
  const [text, setText] = useState(value)
  const [caret, setCaret] = useState(value.length)
  const [focused, setFocused] = useState(false)
  const [dismissed, setDismissed] = useState(false)
  const [active, setActive] = useState(-1)
  const list = useId()
  const known = useKnownValues(focused)
  const options = focused && !dismissed ? suggestions(text, caret, known) : []

  useKeys({ '/': () => input.current?.focus() })
  // The address may change without the box: back, a link, "clear".
  useEffect(() => {
    if (document.activeElement !== input.current) setText(value)
  }, [value])
  useEffect(() => {
    if (text.trim() === value || isUnfinished(text)) return
    const timer = setTimeout(() => onChange(text.trim()), APPLY_AFTER)
    return () => clearTimeout(timer)
  }, [text, value, onChange])

  const edit = (next: string, at: number) => {
    setText(next)
    setCaret(at)
    setActive(-1)
    setDismissed(false)
  }
  const take = (option: Suggestion) => {
    edit(option.input, option.caret)
    requestAnimationFrame(() => input.current?.setSelectionRange(option.caret, option.caret))
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const chosen = options[active]
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault()
      const step = event.key === 'ArrowDown' ? 1 : -1
      if (options.length > 0) setActive((active + step + options.length) % options.length)
    } else if ((event.key === 'Enter' || event.key === 'Tab') && chosen) {
      event.preventDefault()
      take(chosen)
    } else if (event.key === 'Enter') {
      onChange(text.trim())
      setDismissed(true)
    } else if (event.key === 'Escape') {
      if (options.length > 0) setDismissed(true)
      else input.current?.blur()
    }
  }

  return (
    <div className="relative min-w-0 flex-1 max-sm:basis-full">
      <div className="flex items-center gap-2 rounded-md border border-line bg-surface px-2.5 focus-within:border-accent">
        <Search aria-hidden size={15} className="shrink-0 text-muted" />
        <input
          ref={input}
          value={text}
          role="combobox"
          aria-label="Search tasks"
          aria-expanded={options.length > 0}
          aria-controls={list}
          aria-autocomplete="list"
          aria-activedescendant={active >= 0 ? `${list}-${active}` : undefined}
          aria-invalid={problem !== undefined}
          spellCheck={false}
          autoComplete="off"
          placeholder="name:billing.* queue:emails arg:order_id=17 “card declined”"
          className="w-full min-w-0 bg-transparent py-1.5 font-mono text-sm outline-none placeholder:text-muted"
          onChange={(event) => edit(event.target.value, event.target.selectionStart ?? event.target.value.length)}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
          onFocus={() => {
            setFocused(true)
            setDismissed(false)
          }}
          onBlur={() => setFocused(false)}
          onKeyDown={onKeyDown}
        />
        {text !== '' && (
          <button
            type="button"
            aria-label="Clear the search"
            onClick={() => {
              edit('', 0)
              onChange('')
            }}
          >
            <X aria-hidden size={15} className="text-muted" />
          </button>
        )}
      </div>
      {problem !== undefined && (
        <p role="alert" className="pt-1 text-sm text-bad">
          {problem}
        </p>
      )}
      <ul
        id={list}
        role="listbox"
        aria-label="Completions"
        hidden={options.length === 0}
        className="absolute z-20 mt-1 max-h-72 w-full max-w-md overflow-y-auto rounded-md border border-line bg-surface py-1 shadow-lg"
      >
        {options.map((option, index) => (
          <li
            key={option.text}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === active}
            // Before blur, so that the box keeps the focus.
            onPointerDown={(event) => {
              event.preventDefault()
              take(option)
            }}
            className="flex cursor-pointer justify-between gap-4 px-3 py-1 text-sm aria-selected:bg-tint hover:bg-raised"
          >
            <span className="font-mono">{option.text}</span>
            <span className="text-muted">{option.hint}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}
