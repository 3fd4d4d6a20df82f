import { useState } from 'react'
import { isRecord } from '../../lib/format'
import { redaction } from '../../lib/redaction'

const FOLD_ABOVE = 20

function Text({ value }: { value: string }) {
  const hidden = redaction(value)
  if (!hidden) return <span className="break-words whitespace-pre-wrap">{JSON.stringify(value)}</span>
  return (
    <span tabIndex={0} title={hidden.why} aria-label={`${hidden.label}: ${hidden.why}`} className="cursor-help rounded bg-raised px-1 text-muted underline decoration-dotted underline-offset-2">
      {hidden.label}
    </span>
  )
}

function Entries({ entries, brackets }: { entries: [string | null, unknown][]; brackets: '[]' | '{}' }) {
  const [all, setAll] = useState(entries.length <= FOLD_ABOVE)
  if (entries.length === 0) return <span>{brackets}</span>
  const shown = all ? entries : entries.slice(0, FOLD_ABOVE)
  return (
    <>
      {brackets[0]}
      <span className="block border-l border-line pl-3">
        {shown.map(([key, value], index) => (
          <span key={key ?? index} className="block">
            {key !== null && <span className="text-accent">{JSON.stringify(key)}</span>}
            {key !== null && ': '}
            <Value value={value} />
            {index < entries.length - 1 && ','}
          </span>
        ))}
        {!all && <More amount={entries.length - FOLD_ABOVE} onClick={() => setAll(true)} />}
      </span>
      {brackets[1]}
    </>
  )
}

const isPlain = (value: unknown) => !Array.isArray(value) && !isRecord(value)

/** A list of plain values flows like text; one a line would be a long way down. */
function Row({ items }: { items: unknown[] }) {
  const [all, setAll] = useState(items.length <= FOLD_ABOVE)
  const shown = all ? items : items.slice(0, FOLD_ABOVE)
  return (
    <span>
      [
      {shown.map((item, index) => (
        <span key={index}>
          <Value value={item} />
          {index < items.length - 1 && ', '}
        </span>
      ))}
      {!all && <More amount={items.length - FOLD_ABOVE} onClick={() => setAll(true)} />}]
    </span>
  )
}

function More({ amount, onClick }: { amount: number; onClick: () => void }) {
  return (
    <button type="button" className="text-muted underline" onClick={onClick}>
      {amount} more
    </button>
  )
}

function Value({ value }: { value: unknown }) {
  if (typeof value === 'string') return <Text value={value} />
  if (Array.isArray(value) && value.every(isPlain)) return <Row items={value} />
  if (Array.isArray(value)) return <Entries entries={value.map((item) => [null, item])} brackets="[]" />
  if (isRecord(value)) return <Entries entries={Object.entries(value)} brackets="{}" />
  return <span className="text-busy">{JSON.stringify(value)}</span>
}

/** JSON as it arrived; markers left by redaction say what they stand for. */
export function JsonView({ value }: { value: unknown }) {
  return (
    <div className="overflow-x-auto font-mono text-xs leading-relaxed">
      <Value value={value} />
    </div>
  )
}
