import clsx from 'clsx'
import { Ban, Check, CircleDashed, CircleHelp, CircleSlash, Inbox, Play, RotateCw, X, type LucideIcon } from 'lucide-react'
import type { TaskState } from '../../api/types'
import { stateWords } from '../../lib/states'

const icons: Record<TaskState, LucideIcon> = {
  pending: CircleDashed,
  received: Inbox,
  started: Play,
  retrying: RotateCw,
  succeeded: Check,
  failed: X,
  revoked: CircleSlash,
  rejected: Ban,
  lost: CircleHelp,
}

const colours: Record<TaskState, string> = {
  pending: 'text-muted',
  received: 'text-muted',
  started: 'text-busy',
  retrying: 'text-warn',
  succeeded: 'text-good',
  failed: 'text-bad',
  revoked: 'text-odd',
  rejected: 'text-odd',
  lost: 'text-bad',
}

export function StateIcon({ state, className }: { state: TaskState; className?: string }) {
  const Icon = icons[state]
  return <Icon aria-hidden size={15} strokeWidth={2.25} className={clsx('shrink-0', colours[state], className)} />
}

/** Shape, word and colour together; hovering says what the word means. */
export function StateBadge({ state, word = stateWords[state].word }: { state: TaskState; word?: string }) {
  const { meaning } = stateWords[state]
  return (
    <span title={meaning} className="inline-flex items-center gap-1 whitespace-nowrap">
      <StateIcon state={state} />
      <span className={colours[state]}>{word}</span>
    </span>
  )
}
