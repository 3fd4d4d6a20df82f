import { CopyPlus } from 'lucide-react'

/** One attempt was begun more than once: what it does may have been done twice. */
export function StartedTwice({ times = 2, brief = false }: { times?: number; brief?: boolean }) {
  const words = times > 2 ? `started ${times} times` : 'started twice'
  return (
    <span
      data-testid="started-twice"
      title="An attempt of it was started more than once: what it does may have been done twice. The attempts say where and when."
      className="inline-flex shrink-0 items-center gap-1 rounded border border-warn px-1 text-xs font-normal whitespace-nowrap text-warn"
    >
      <CopyPlus aria-hidden size={12} />
      <span className={brief ? 'max-sm:sr-only' : undefined}>{words}</span>
    </span>
  )
}
