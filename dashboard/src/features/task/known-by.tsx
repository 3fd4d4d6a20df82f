import type { TimelineEntry } from '../../api/types'

const ways: Readonly<Record<string, { words: string; meaning: string }>> = {
  result_channel: { words: 'from the result channel', meaning: 'No event of the task told this: it was read from its result, on the channel where results are announced.' },
  result_backend: { words: 'from the result backend', meaning: 'No event of the task told this: it was found in the result backend.' },
  inspection: { words: 'told by the worker when asked', meaning: 'No event of the task told this: its worker said so when the agent asked it.' },
}

/** How a fact is known that no event of the engine's own told; quiet, with the whole sentence on hover. */
export function KnownBy({ way }: { way: string }) {
  const { words, meaning } = ways[way] ?? { words: `known by ${way.replaceAll('_', ' ')}`, meaning: 'No event of the task told this.' }
  return (
    <span title={meaning} className="text-xs text-muted">
      {words}
    </span>
  )
}

/** How the state that a task now has is known, if nothing but that way told it. */
export const stateKnownBy = (timeline: readonly TimelineEntry[]): string | null => timeline.at(-1)?.known_by ?? null

/** Marks a task whose state no event told. */
export function StateKnownBy({ way }: { way: string }) {
  const { words, meaning } = ways[way] ?? { words: `by ${way.replaceAll('_', ' ')}`, meaning: 'No event of the task told this.' }
  return (
    <span data-testid="state-known-by" title={meaning} className="inline-flex rounded border border-line px-1 text-xs text-muted">
      {words.startsWith('told') ? words : `known ${words}`}
    </span>
  )
}
