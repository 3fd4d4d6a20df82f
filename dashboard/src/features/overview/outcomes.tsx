import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { explain } from '../../api/client'
import { taskCountsQuery } from '../../api/queries'
import { StateIcon } from '../../components/ui/state-badge'
import { WINDOWS, type Window } from '../../lib/filter'
import { count } from '../../lib/format'
import { STATES, stateWords } from '../../lib/states'
import { useProject } from '../../lib/session'

/** How many tasks of the window are in each state. The counts are those of the list behind them. */
export function Outcomes({ since }: { since: Window }) {
  const { data, error } = useQuery(taskCountsQuery(useProject(), { since }))
  return (
    <section aria-label={`Tasks of the last ${WINDOWS[since]}`} className="rounded-lg border border-line bg-surface">
      <h2 className="border-b border-line px-3 py-2 text-sm font-semibold">
        Tasks of the last {WINDOWS[since].replace(/^1 /, '')}
        {data && (
          <Link to="/tasks" search={{ since }} className="ml-2 font-normal text-muted underline decoration-line underline-offset-2 hover:decoration-current">
            {count(data.total)} in all
          </Link>
        )}
      </h2>
      {error && !data && <p role="alert" className="p-3 text-sm">{explain(error)}</p>}
      <ul className="grid grid-cols-3 sm:grid-cols-5 xl:grid-cols-9">
        {STATES.map((state) => {
          const amount = data?.counts[state]
          return (
            <li key={state}>
              <Link to="/tasks" search={{ state, since }} title={stateWords[state].meaning} data-testid="outcome" data-state={state} className={`block px-3 py-2 hover:bg-raised ${amount?.count === 0 ? 'text-muted' : ''}`}>
                <span className="block text-2xl leading-tight font-semibold tracking-tight">{amount ? count(amount) : '—'}</span>
                <span className="flex min-h-7 items-start gap-1 text-xs">
                  <StateIcon state={state} />
                  <span className="leading-tight">{stateWords[state].word}</span>
                </span>
              </Link>
            </li>
          )
        })}
      </ul>
    </section>
  )
}
