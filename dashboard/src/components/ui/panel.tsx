import clsx from 'clsx'
import { useId, type ReactNode } from 'react'

/** A titled part of a page. */
export function Panel({ title, aside, children, className, flush = false }: { title: string; aside?: ReactNode; children: ReactNode; className?: string; flush?: boolean }) {
  const heading = useId()
  return (
    <section aria-labelledby={heading} className={clsx('min-w-0 rounded-lg border border-line bg-surface', className)}>
      <div className="flex min-h-10 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-3 py-1.5">
        <h2 id={heading} className="text-sm font-semibold">
          {title}
        </h2>
        {aside !== undefined && <div className="text-sm text-muted">{aside}</div>}
      </div>
      <div className={flush ? 'overflow-x-auto' : 'p-3'}>{children}</div>
    </section>
  )
}

export function PageTitle({ children, aside }: { children: ReactNode; aside?: ReactNode }) {
  return (
    <div className="flex flex-wrap items-center justify-between gap-2">
      <h1 className="text-lg font-semibold">{children}</h1>
      {aside}
    </div>
  )
}
