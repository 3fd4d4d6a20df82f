import { Link } from '@tanstack/react-router'
import clsx from 'clsx'
import type { ReactNode } from 'react'
import { number } from '../../lib/format'

export const linkClass = 'underline decoration-line underline-offset-2 hover:decoration-current'

interface Props {
  value: number | null | undefined
  /** The tasks behind the number. */
  state: string
  q: string
  className?: string
  title?: string
}

/** A number that leads to what it counts; a dash that leads nowhere where it is not known. */
export function Amount({ value, state, q, className, title }: Props): ReactNode {
  if (value == null) return <Unknown />
  return (
    <Link to="/tasks" search={{ q, state }} title={title} className={clsx(linkClass, className)}>
      {number(value)}
    </Link>
  )
}

export function Unknown() {
  return (
    <span title="Not told by this engine" className="text-muted">
      —
    </span>
  )
}
