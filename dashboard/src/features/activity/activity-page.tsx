import type { ReactElement } from 'react'
import { useInfiniteQuery } from '@tanstack/react-query'
import { auditQuery, commandsQuery } from '../../api/queries'
import { Button } from '../../components/ui/button'
import { Empty, Loading, LoadFailed } from '../../components/ui/notice'
import { PageTitle, Panel } from '../../components/ui/panel'
import { useProject } from '../../lib/session'
import { BulkJobs } from '../bulk/job-list'
import { CommandList } from '../commands/command-list'
import { StoragePanel } from '../storage/storage-panel'
import { AuditList } from './audit-list'

export function ActivityPage(): ReactElement {
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle>Activity</PageTitle>
      <BulkJobs />
      <div className="grid gap-4 xl:grid-cols-2">
        <Commands />
        <Audit />
      </div>
      <StoragePanel />
    </div>
  )
}

function Commands() {
  const query = useInfiniteQuery(commandsQuery(useProject()))
  const items = query.data?.pages.flatMap((page) => page.items)
  return (
    <Panel title="Commands" aside="what was asked of agents, and what came of it" flush>
      {items === undefined ? (
        query.isError ? <LoadFailed error={query.error} what="commands" onRetry={() => void query.refetch()} /> : <Loading what="commands" />
      ) : items.length === 0 ? (
        <Empty title="No command was given yet">A retry, a cancel or a purge appears here with its outcome.</Empty>
      ) : (
        <CommandList commands={items} />
      )}
      <More query={query} />
    </Panel>
  )
}

function Audit() {
  const query = useInfiniteQuery(auditQuery(useProject()))
  const items = query.data?.pages.flatMap((page) => page.items)
  return (
    <Panel title="Audit" aside="who did what" flush>
      {items === undefined ? (
        query.isError ? <LoadFailed error={query.error} what="audit" onRetry={() => void query.refetch()} /> : <Loading what="audit" />
      ) : items.length === 0 ? (
        <Empty title="Nothing was recorded yet" />
      ) : (
        <AuditList entries={items} />
      )}
      <More query={query} />
    </Panel>
  )
}

function More({ query }: { query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => Promise<unknown> } }) {
  if (!query.hasNextPage) return null
  return (
    <div className="p-2 text-center">
      <Button look="quiet" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {query.isFetchingNextPage ? 'Loading…' : 'Show older'}
      </Button>
    </div>
  )
}
