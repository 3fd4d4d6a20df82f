import { useMutation, useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Check, CircleDashed, TriangleAlert } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { baseUrl, explain } from '../../api/client'
import { createAgentToken } from '../../api/commands'
import { agentsQuery, fetchTasks } from '../../api/queries'
import type { Agent, CreatedAgentToken } from '../../api/types'
import { Button } from '../../components/ui/button'
import { CopyButton } from '../../components/ui/copy-button'
import { Panel } from '../../components/ui/panel'
import { useNow } from '../../lib/now'
import { useProject } from '../../lib/session'
import { connectSteps, type StepState } from './connect-steps'

const POLL = 2000
const address = baseUrl.replace(/^http/, 'ws')

/** One line to run with one secret in it, and then what comes of it, as it happens. */
export function ConnectAgent({ onClose }: { onClose: () => void }) {
  const project = useProject()
  const { mutate, data: token, error, isError } = useMutation({ mutationFn: () => createAgentToken(project, undefined) })
  const asked = useRef(false)
  useEffect(() => {
    // Effects run twice in development; a token is made once.
    if (asked.current) return
    asked.current = true
    mutate()
  }, [mutate])
  return (
    <Panel
      title="Connect an agent"
      aside={
        <Button look="quiet" onClick={onClose}>
          Close
        </Button>
      }
    >
      {isError ? (
        <p role="alert" className="text-sm text-bad">
          No token could be made. {explain(error)}
        </p>
      ) : token ? (
        <Connecting token={token} />
      ) : (
        <p className="text-sm text-muted">Making a token…</p>
      )}
    </Panel>
  )
}

function Connecting({ token }: { token: CreatedAgentToken }) {
  const project = useProject()
  const now = useNow()
  const started = useRef(Date.now())
  const agents = useQuery({ ...agentsQuery(project), refetchInterval: POLL })
  const agent = agents.data?.items.find((candidate) => cameWith(candidate, token)) ?? null
  const events = useQuery({
    queryKey: ['first-event', project, token.created_at],
    queryFn: () => fetchTasks(project, { since: token.created_at }, undefined, 1),
    refetchInterval: ({ state }) => (state.data && state.data.items.length > 0 ? false : POLL),
    enabled: agent !== null,
  })
  const hasEvent = (events.data?.items.length ?? 0) > 0
  const line = `taskplane agent --brain ${address} --token ${token.token} --celery redis://127.0.0.1:6379/0`
  const steps = connectSteps({ agent, hasEvent, waitedMs: now - started.current, address })
  return (
    <div className="flex flex-col gap-3">
      <p className="text-sm">Run this beside your broker. Put your broker's address after --celery if it is another one.</p>
      <div className="flex items-start gap-2 rounded-md bg-raised p-2">
        <code data-testid="connect-line" className="min-w-0 flex-1 font-mono text-xs leading-6 break-all">
          {line}
        </code>
        <CopyButton text={line} label="Copy the line" />
      </div>
      <p className="text-xs text-muted">The token is shown only now. Whoever has it can report tasks to this project.</p>
      <ol aria-live="polite" className="flex flex-col gap-1.5">
        {steps.map((step) => (
          <li key={step.name} data-testid="connect-step" data-state={step.state} className="flex items-start gap-2 text-sm">
            <Mark state={step.state} />
            <span>
              {step.name}
              {step.note !== null && <span className="text-muted">: {step.note}</span>}
            </span>
          </li>
        ))}
      </ol>
      {hasEvent && (
        <p className="text-sm">
          All set.{' '}
          <Link to="/tasks" className="underline">
            See the tasks
          </Link>
        </p>
      )}
    </div>
  )
}

/** The token does not say which agent used it unless it was made for one; the first to connect after it was made is it. */
function cameWith(agent: Agent, token: CreatedAgentToken): boolean {
  if (agent.state !== 'online' || agent.connected_at == null) return false
  if (token.agent != null) return agent.name === token.agent
  return Date.parse(agent.connected_at) >= Date.parse(token.created_at)
}

function Mark({ state }: { state: StepState }) {
  if (state === 'done') return <Check aria-label="Done" size={16} className="mt-0.5 shrink-0 text-good" />
  if (state === 'stuck') return <TriangleAlert aria-label="Not yet" size={16} className="mt-0.5 shrink-0 text-warn" />
  return <CircleDashed aria-label="Waiting" size={16} className="mt-0.5 shrink-0 animate-spin text-muted" />
}
