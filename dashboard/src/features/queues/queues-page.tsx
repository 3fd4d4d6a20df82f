import type { ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queuesQuery } from '../../api/queries'
import type { Queue } from '../../api/types'
import { Loading } from '../../components/ui/notice'
import { PageTitle, Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { useProject } from '../../lib/session'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { NoneNeedsAttention } from '../problems/none-needs-attention'
import { ShownChoice, useShown } from '../problems/shown'
import { useProblemsOf } from '../problems/use-problems'
import { PurgeDialog } from './purge-dialog'
import { QueueTable } from './queue-table'

export function QueuesPage(): ReactElement {
  const shown = useShown('/queues')
  const query = useQuery(queuesQuery(useProject()))
  const problems = useProblemsOf('queue')
  const [purging, setPurging] = useState<Queue | null>(null)
  const sent = useSendCommand()
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle aside={<ShownChoice noun="queue" shown={shown} />}>Queues</PageTitle>
      <CommandOutcome sent={sent} />
      <Panel title="Depth and consumers" aside="as the brokers last said" flush>
        <QueryView query={query} what="queues">
          {({ items }) => {
            const queues = shown.show === 'all' ? items : items.filter(({ engine, name }) => problems.all(engine, name).length > 0)
            if (shown.show !== 'all' && !problems.known) return <Loading what="problems" />
            if (queues.length === 0 && items.length > 0) return <NoneNeedsAttention total={items.length} noun="queue" page="/queues" />
            return <QueueTable queues={queues} problems={problems} seeking={shown.seeking} onPurge={setPurging} />
          }}
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
