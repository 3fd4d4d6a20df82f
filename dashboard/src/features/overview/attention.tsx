import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { CircleAlert, TriangleAlert } from 'lucide-react'
import { agentsQuery, queuesQuery, schedulersQuery, workersQuery } from '../../api/queries'
import { Since } from '../../components/ui/time'
import { useNow } from '../../lib/now'
import { useProject } from '../../lib/session'
import { findProblems } from './problems'

/** What needs someone now. Nothing at all when nothing does. */
export function Attention() {
  const project = useProject()
  const agents = useQuery(agentsQuery(project))
  const workers = useQuery(workersQuery(project))
  const queues = useQuery(queuesQuery(project))
  const schedulers = useQuery(schedulersQuery(project))
  const now = useNow()
  const problems = findProblems(agents.data?.items ?? [], workers.data?.items ?? [], queues.data?.items ?? [], schedulers.data?.items ?? [], now)
  if (problems.length === 0) return null
  return (
    <section aria-label="Needs attention" className="overflow-hidden rounded-lg border border-line bg-surface">
      <ul>
        {problems.map((problem) => (
          <li key={problem.key} data-testid="problem" className="border-b border-line last:border-0">
            <Link to={problem.to} className="flex items-start gap-2 px-3 py-2 text-sm hover:bg-raised">
              {problem.tone === 'bad' ? <CircleAlert aria-label="Problem" size={16} className="mt-0.5 shrink-0 text-bad" /> : <TriangleAlert aria-label="Warning" size={16} className="mt-0.5 shrink-0 text-warn" />}
              <span className="min-w-0 flex-1">
                <span className="font-medium">{problem.title}</span>
                <span className="block break-words text-muted">{problem.cause}</span>
              </span>
              {problem.since !== null && (
                <span className="shrink-0 text-muted">
                  <Since at={problem.since} prefix="for " />
                </span>
              )}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  )
}
