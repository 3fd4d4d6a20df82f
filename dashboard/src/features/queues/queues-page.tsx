import type { ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queuesQuery } from '../../api/queries'
import type { Queue } from '../../api/types'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { useProject } from '../../lib/session'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { PurgeDialog } from './purge-dialog'
import { QueueTable } from './queue-table'

export function QueuesPage(): ReactElement {
  const query = useQuery(queuesQuery(useProject()))
  const [purging, setPurging] = useState<Queue | null>(null)
  const sent = useSendCommand()
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle>Queues</PageTitle>
      <CommandOutcome sent={sent} />
      <Panel title="Depth and consumers" aside="as the brokers last said" flush>
        <QueryView query={query} what="queues">
          {({ items }) => <QueueTable queues={items} onPurge={setPurging} />}
        </QueryView>
      </Panel>
      {purging && (
        <PurgeDialog
          queue={purging}
          onClose={() => setPurging(null)}
          onConfirm={() => {
            setPurging(null)
            sent.send({ cmd: 'purge_queue', args: { engine: purging.engine, queue: purging.name } })
          }}
        />
      )}
    </div>
  )
}
