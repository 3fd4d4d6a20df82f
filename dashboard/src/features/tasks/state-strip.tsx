import { Link } from '@tanstack/react-router'
import clsx from 'clsx'
import type { TaskCounts, TaskState } from '../../api/types'
import { StateIcon } from '../../components/ui/state-badge'
import { count } from '../../lib/format'
import { STATES, stateWords } from '../../lib/states'
import { statesOf } from '../../lib/filter'

/** States with their counts: the first way through the tasks. */
export function StateStrip({ counts, state }: { counts: TaskCounts | undefined; state: string | undefined }) {
  const chosen = statesOf(state)
  return (
    <nav aria-label="States" className="flex gap-0.5 overflow-x-auto px-3 py-1.5 lg:flex-wrap">
      <Chip label="All" active={chosen.length === 0} to={undefined} amount={counts && count(counts.total)} />
      {STATES.map((name) => {
        const amount = counts?.counts[name]
        return (
          <Chip
            key={name}
            state={name}
            label={stateWords[name].word}
            active={chosen.includes(name)}
            to={chosen.length === 1 && chosen[0] === name ? undefined : name}
            amount={amount && count(amount)}
            empty={amount?.count === 0}
          />
        )
      })}
    </nav>
  )
}

interface ChipProps {
  label: string
  state?: TaskState
  active: boolean
  to: string | undefined
  amount: string | undefined
  empty?: boolean
}

function Chip({ label, state, active, to, amount, empty = false }: ChipProps) {
  return (
    <Link
      to="/tasks"
      search={(view) => ({ ...view, state: to })}
      title={state && `${stateWords[state].meaning} (state:${state})`}
      aria-current={active ? 'true' : undefined}
      className={clsx(
        'flex items-center gap-1 rounded-md border px-1.5 py-0.5 text-sm whitespace-nowrap',
        active ? 'border-accent bg-tint' : 'border-transparent hover:bg-raised',
        empty && !active && 'opacity-60',
      )}
    >
      {state && <StateIcon state={state} />}
      {label}
      <span className="text-muted">{amount ?? '—'}</span>
    </Link>
  )
}
