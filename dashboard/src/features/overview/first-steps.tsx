import { Link } from '@tanstack/react-router'
import { PageTitle } from '../../components/ui/panel'

/** The overview before there is anything to see: the one thing to do next. */
export function FirstSteps() {
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle>Overview</PageTitle>
      <div className="max-w-2xl rounded-lg border border-line bg-surface p-6">
        <h2 className="mb-1 font-semibold">No agent is connected yet, so there is nothing to see</h2>
        <p className="mb-4 text-sm text-muted">
          An agent runs beside your queues and tells this brain what happens there. It is one line to start, and your application stays as it is. Tasks, queues and workers appear here as soon as it says
          hello.
        </p>
        <Link to="/agents" className="inline-block rounded-md border border-accent bg-accent px-3 py-1.5 text-sm font-medium text-on-accent hover:opacity-90">
          Connect an agent
        </Link>
      </div>
    </div>
  )
}
