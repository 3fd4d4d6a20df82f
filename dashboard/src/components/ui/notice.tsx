import clsx from 'clsx'
import { CircleAlert, TriangleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import { explain } from '../../api/client'
import { Button } from './button'

/** Why there is nothing here, and the next step. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="px-4 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children !== undefined && <div className="mx-auto mt-1 max-w-prose text-sm text-muted">{children}</div>}
    </div>
  )
}

/** Nothing for a moment, then a word: a quick answer must not flash. */
export function Loading({ what }: { what: string }) {
  return (
    <p role="status" className="px-4 py-10 text-center text-sm text-muted">
      Loading {what}…
    </p>
  )
}

export function LoadFailed({ error, what, onRetry }: { error: unknown; what: string; onRetry: () => void }) {
  return (
    <div role="alert" className="flex flex-col items-center gap-2 px-4 py-10 text-center">
      <p className="inline-flex items-center gap-1.5 font-medium">
        <CircleAlert aria-hidden size={16} className="text-bad" />
        The {what} could not be loaded
      </p>
      <p className="max-w-prose text-sm text-muted">{explain(error)}</p>
      <Button onClick={onRetry}>Try again</Button>
    </div>
  )
}

/** What is on screen is from before, because the last refresh failed. */
export function OldData({ error }: { error: unknown }) {
  return (
    <p role="status" className="flex items-center gap-1.5 rounded-md border border-line bg-raised px-3 py-1.5 text-sm">
      <TriangleAlert aria-hidden size={15} className="shrink-0 text-warn" />
      What you see is from before. {explain(error)}
    </p>
  )
}

export function Callout({ tone, children }: { tone: 'bad' | 'warn' | 'good' | 'plain'; children: ReactNode }) {
  const edge = { bad: 'border-l-bad', warn: 'border-l-warn', good: 'border-l-good', plain: 'border-l-muted' }[tone]
  return <div className={clsx('rounded-md border border-l-4 border-line bg-surface px-3 py-2 text-sm', edge)}>{children}</div>
}
