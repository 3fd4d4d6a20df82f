import type { ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { agentsQuery } from '../../api/queries'
import { Button } from '../../components/ui/button'
import { Empty } from '../../components/ui/notice'
import { PageTitle } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { useProject, useSession } from '../../lib/session'
import { AgentCard } from './agent-card'
import { ConnectAgent } from './connect-agent'
import { Quarantine } from './quarantine'

export function AgentsPage(): ReactElement {
  const query = useQuery(agentsQuery(useProject()))
  const [connecting, setConnecting] = useState(false)
  const { role } = useSession()
  const connect = (
    <Button look="primary" reason={role === 'admin' ? undefined : 'A new agent needs a token, and only an admin can make one.'} onClick={() => setConnecting(true)}>
      Connect an agent
    </Button>
  )
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle aside={!connecting && connect}>Agents</PageTitle>
      {connecting && <ConnectAgent onClose={() => setConnecting(false)} />}
      <QueryView query={query} what="agents">
        {({ items }) =>
          items.length === 0 ? (
            !connecting && (
              <div className="rounded-lg border border-line bg-surface">
                <Empty title="No agent has connected yet">
                  <p className="mb-3">An agent runs beside your queues, observes every task, and carries out what you ask for. It takes one line to start.</p>
                  {connect}
                </Empty>
              </div>
            )
          ) : (
            <>
              <div className="grid gap-4 xl:grid-cols-2">
                {items
                  .toSorted((one, other) => Number(other.state === 'online') - Number(one.state === 'online') || one.name.localeCompare(other.name))
                  .map((agent) => (
                    <AgentCard key={agent.id} agent={agent} />
                  ))}
              </div>
              {items.some((agent) => agent.quarantined_events > 0) && <Quarantine />}
            </>
          )
        }
      </QueryView>
    </div>
  )
}
