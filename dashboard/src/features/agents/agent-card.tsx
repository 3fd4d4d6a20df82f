import { useState, type ReactNode } from 'react'
import type { Agent } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { Callout } from '../../components/ui/notice'
import { Ago } from '../../components/ui/time'
import { bytes, isRecord, number, plural } from '../../lib/format'
import { useOperatorReason } from '../../lib/session'
import { CommandOutcome } from '../commands/command-outcome'
import { useSendCommand } from '../commands/use-send-command'
import { capabilities } from './capabilities'

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  )
}

export function AgentCard({ agent }: { agent: Agent }) {
  const online = agent.state === 'online'
  const [asking, setAsking] = useState(false)
  const sent = useSendCommand()
  const viewer = useOperatorReason()
  return (
    <section aria-label={`Agent ${agent.name}`} data-testid="agent" data-state={agent.state} className="flex flex-col gap-3 rounded-lg border border-line bg-surface p-3">
      <div className="flex flex-wrap items-start justify-between gap-2">
        <div>
          <h2 className="font-semibold">
            <span aria-hidden className={online ? 'text-good' : 'text-bad'}>
              {online ? '●' : '✕'}
            </span>{' '}
            {agent.name}
          </h2>
          <p className="text-sm text-muted">
            {online ? 'Online' : 'Offline'}
            {online && agent.connected_at != null && <Ago at={agent.connected_at} prefix=", connected " />}
            {!online && agent.last_seen_at != null && <Ago at={agent.last_seen_at} prefix=", last heard " />}
            {agent.connections > 1 && `, ${agent.connections} connections`}
          </p>
        </div>
        <Button reason={viewer ?? (online ? undefined : 'The agent is offline: there is nobody to restart it. Start it on its host.')} onClick={() => setAsking(true)}>
          Restart agent…
        </Button>
      </div>
      {agent.problem != null && <Callout tone="bad">{agent.problem}</Callout>}
      <CommandOutcome sent={sent} />
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 text-sm">
        <Adapters agent={agent} />
        <Abilities agent={agent} />
        <Fact name="Buffer">
          <BufferText agent={agent} />
        </Fact>
        <Fact name="Losses">
          <Losses agent={agent} />
        </Fact>
        <Fact name="Version">
          {agent.version ?? '—'}
          {agent.framework != null && ` in ${agent.framework} ${agent.framework_version ?? ''}`}
        </Fact>
        <Fact name="First seen">
          <Ago at={agent.first_seen_at} />
        </Fact>
      </dl>
      {asking && (
        <Dialog title={`Restart ${agent.name}?`} onClose={() => setAsking(false)}>
          <p className="text-sm text-muted">It rebuilds its adapters and connects again. The process it lives in goes on, and nothing that was observed is lost.</p>
          <DialogActions>
            <Button onClick={() => setAsking(false)}>Leave it</Button>
            <Button
              look="primary"
              onClick={() => {
                setAsking(false)
                sent.send({ cmd: 'restart_agent', args: {}, agent: agent.name })
              }}
            >
              Restart 1 agent
            </Button>
          </DialogActions>
        </Dialog>
      )}
    </section>
  )
}

function Adapters({ agent }: { agent: Agent }) {
  const known = Object.entries(agent.adapters)
  const silent = [...agent.engines, ...agent.schedulers].filter((name) => !(name in agent.adapters))
  return (
    <Fact name="Observes">
      {known.length + silent.length === 0 && 'nothing: it was started without an engine'}
      {known.map(([name, state]) => (
        <span key={name} className="block">
          {state === 'ok' ? (
            <>
              <span aria-hidden className="text-good">✓</span> {name}
              {brokersOf(agent, name) !== '' && <span className="text-muted">: {brokersOf(agent, name)}</span>}
            </>
          ) : (
            <>
              <span aria-hidden className="text-bad">✕</span> {name}: <span className="text-bad">{state}</span>
            </>
          )}
        </span>
      ))}
      {silent.map((name) => (
        <span key={name} className="block" title="The agent has not said yet how it stands">
          <span aria-hidden>◌</span> {name}
        </span>
      ))}
    </Fact>
  )
}

/** Where an engine's queues are, as the agent says it. */
function brokersOf({ metadata }: Agent, engine: string): string {
  const told = isRecord(metadata) ? metadata[`${engine}_brokers`] : undefined
  return Array.isArray(told) ? told.filter((broker) => typeof broker === 'string').join(', ') : ''
}

function Abilities({ agent }: { agent: Agent }) {
  return Object.entries(agent.capabilities).map(([name, value]) => {
    const { can, cannot } = capabilities(value)
    return (
      <Fact key={name} name={`Can, for ${name}`}>
        {can.length > 0 ? can.join(', ') : 'only observe'}
        {cannot.length > 0 && <span className="text-muted">; not {cannot.join(', ')}</span>}
      </Fact>
    )
  })
}

function BufferText({ agent: { buffer } }: { agent: Agent }) {
  if (buffer == null) return <span title="It has not reported its buffer yet">—</span>
  if (buffer.events === 0) return 'empty: everything was delivered'
  return (
    <>
      {plural(buffer.events, 'event')}, {bytes(buffer.bytes)} to be delivered
      {buffer.oldest_ts != null && <Ago at={buffer.oldest_ts} prefix=", the oldest from " />}
    </>
  )
}

function Losses({ agent }: { agent: Agent }) {
  const lost = [
    agent.lost_batches > 0 && `${number(agent.lost_batches)} lost ${agent.lost_batches === 1 ? 'batch' : 'batches'}`,
    agent.quarantined_events > 0 && `${plural(agent.quarantined_events, 'event')} in quarantine`,
    agent.buffer != null && agent.buffer.dropped > 0 && `${plural(agent.buffer.dropped, 'event')} dropped by its full buffer`,
  ].filter(Boolean)
  return lost.length === 0 ? 'none' : <span className="text-warn">{lost.join(', ')}</span>
}
