import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { bulkJobsQuery } from '../../api/bulk'
import { Panel } from '../../components/ui/panel'
import { Ago } from '../../components/ui/time'
import { plural } from '../../lib/format'
import { useProject } from '../../lib/session'
import { jobSentence } from './sentence'

/** The latest jobs; nothing when there has been none. */
export function BulkJobs() {
  const jobs = useQuery(bulkJobsQuery(useProject())).data?.items ?? []
  if (jobs.length === 0) return null
  return (
    <Panel title="Bulk jobs" aside="what was retried at once" flush>
      <ul className="divide-y divide-line text-sm">
        {jobs.map((job) => (
          <li key={job.id} className="flex flex-wrap justify-between gap-x-4 px-3 py-2 sm:grid sm:grid-cols-[12rem_1fr_auto]">
            <Link to="/bulk/$jobId" params={{ jobId: job.id }} className="font-medium underline">
              Retry of {plural(job.counts.total, 'task')}
            </Link>
            <span className="text-muted">{jobSentence(job)}</span>
            <Ago at={job.created_at} />
          </li>
        ))}
      </ul>
    </Panel>
  )
}
