import type { Waiting } from './use-task-list'

/** New tasks that wait until the reader asks for them. */
export function WaitingPill({ waiting, onShow }: { waiting: Waiting; onShow: () => void }) {
  if (waiting.count === 0) return null
  return (
    <div className="pointer-events-none absolute inset-x-0 top-2 z-10 flex justify-center">
      <button
        type="button"
        data-testid="waiting-pill"
        onClick={onShow}
        className="pointer-events-auto rounded-full border border-accent bg-accent px-3 py-0.5 text-sm font-medium text-on-accent shadow-md"
      >
        {waiting.count}
        {waiting.more ? '+' : ''} new
      </button>
    </div>
  )
}
