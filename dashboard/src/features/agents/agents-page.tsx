import type { ReactElement } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { agentsQuery } from '../../api/queries'
import type { Agent } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Findable } from '../../components/ui/findable'
import { Empty, Loading } from '../../components/ui/notice'
import { PageTitle } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { number } from '../../lib/format'
import { useProject, useSession } from '../../lib/session'
import { NoneNeedsAttention } from '../problems/none-needs-attention'
import { ShownChoice, useShown } from '../problems/shown'
import { useProblemsOf } from '../problems/use-problems'
import { AgentCard } from './agent-card'
import { ConnectAgent } from './connect-agent'
import { Quarantine } from './quarantine'

const isOnline = (agent: Agent) => agent.state === 'online'
const isTroubled = (agent: Agent) => agent.problem != null || Object.values(agent.adapters).some((state) => state !== 'ok')

/** Those that need someone, then those that work; those that went away last. */
function troubledFirst(one: Agent, other: Agent): number {
  const rank = (agent: Agent) => (isOnline(agent) ? (isTroubled(agent) ? 0 : 1) : 2)
  return rank(one) - rank(other) || one.name.localeCompare(other.name)
}

function standing(agents: readonly Agent[]): string {
  const online = agents.filter(isOnline)
  const troubled = online.filter(isTroubled).length
  return [`${number(online.length)} online`, troubled > 0 && `${number(troubled)} of them with a problem`, online.length < agents.length && `${number(agents.length - online.length)} offline`].filter(Boolean).join(', ')
}

export function AgentsPage(): ReactElement {
  const view = useShown('/agents')
  const query = useQuery(agentsQuery(useProject()))
  const problems = useProblemsOf('agent')
  const [connecting, setConnecting] = useState(false)
  const { role } = useSession()
  const connect = (
    <Button look="primary" reason={role === 'admin' ? undefined : 'A new agent needs a token, and only an admin can make one.'} onClick={() => setConnecting(true)}>
      Connect an agent
    </Button>
  )
  return (
    <div className="flex flex-col gap-4 p-4">
      <PageTitle
        aside={
          <span className="flex flex-wrap gap-2">
            <ShownChoice noun="agent" shown={view} />
            {!connecting && connect}
          </span>
        }
      >
        Agents
      </PageTitle>
      {connecting && <ConnectAgent onClose={() => setConnecting(false)} />}
      <QueryView query={query} what="agents">
        {({ items: known }) => {
          const items = view.show === 'all' ? known : known.filter(({ name }) => problems.all(null, name).length > 0)
          if (view.show !== 'all' && !problems.known) return <Loading what="problems" />
          if (items.length === 0 && known.length > 0) return <NoneNeedsAttention total={known.length} noun="agent" page="/agents" />
          return items.length === 0 ? (
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
              <p className="text-sm text-muted">{standing(items)}</p>
              <Findable items={items.toSorted(troubledFirst)} noun="agent" text={(agent) => `${agent.name} ${agent.state}`} seeking={view.seeking}>
                {(shown) => (
                  <div className="grid gap-4 xl:grid-cols-2">
                    {shown.map((agent) => (
                      <AgentCard key={agent.id} agent={agent} />
                    ))}
                  </div>
                )}
              </Findable>
              {items.some((agent) => agent.quarantined_events > 0) && <Quarantine />}
            </>
          )
        }}
      </QueryView>
    </div>
  )
}
