import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { explain } from '../../api/client'
import { problemsQuery } from '../../api/problems'
import { Callout } from '../../components/ui/notice'
import { Since } from '../../components/ui/time'
import { useProject } from '../../lib/session'
import { SeverityIcon } from '../problems/severity-icon'
import { tell, type Told } from '../problems/told'

/** What needs someone now. Nothing at all when nothing does. */
export function Attention() {
  const { data, isError, error } = useQuery(problemsQuery(useProject()))
  // Silence would say that all is well.
  if (data === undefined) return isError && <Callout tone="warn">What needs attention is not known. {explain(error)}</Callout>
  if (data.items.length === 0) return null
  return (
    <section aria-label="Needs attention" className="overflow-hidden rounded-lg border border-line bg-surface">
      <ul>
        {tell(data.items).map((told) => (
          <Line key={told.key} told={told} />
        ))}
      </ul>
    </section>
  )
}

/** The whole line leads there; its title alone names the link. */
function Line({ told: { severity, title, cause, remedy, since, place } }: { told: Told }) {
  return (
    <li data-testid="problem" className="relative flex items-start gap-2 border-b border-line px-3 py-2 text-sm last:border-0 hover:bg-raised">
      <SeverityIcon severity={severity} className="mt-0.5" />
      <div className="min-w-0 flex-1">
        <div className="flex flex-wrap justify-between gap-x-3">
          <Link to={place.to} search={place.search} className="font-medium after:absolute after:inset-0 after:content-['']">
            {title}
          </Link>
          {since != null && (
            <span className="relative text-muted">
              <Since at={since} prefix="for " />
            </span>
          )}
        </div>
        <p className="break-words text-muted">{cause}</p>
        {remedy != null && <p className="break-words">{remedy}</p>}
      </div>
    </li>
  )
}
