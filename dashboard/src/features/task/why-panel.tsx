import { useMutation, useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import clsx from 'clsx'
import { Hourglass, Info, OctagonX, type LucideIcon } from 'lucide-react'
import { useState } from 'react'
import { explain } from '../../api/client'
import type { Inquiry, Task, Why, WhyReason } from '../../api/types'
import { askWhy, whyQuery } from '../../api/why'
import { Button } from '../../components/ui/button'
import { Callout, LoadFailed } from '../../components/ui/notice'
import { Ago, Since } from '../../components/ui/time'
import { useNow } from '../../lib/now'
import { useProject } from '../../lib/session'
import { isOver, stateWords } from '../../lib/states'
import { findingOf, question, roleWords, sourceOf, wayOf, type Way } from './why-words'

/** As long what asking found stands before what is known without. */
const HOLDS = 60_000

/** Why a task does not run. Open by itself while the task waits; for one that runs, asked for. */
export function WhyPanel({ task }: { task: Task }) {
  const project = useProject()
  const { engine, task_id: taskId, state } = task
  const over = isOver(state)
  // Who has read why it waited goes on reading: it stays as it is when the task begins.
  const [open, setOpen] = useState(state !== 'started')
  const query = useQuery({ ...whyQuery(project, engine, taskId), enabled: open, ...(over && { refetchInterval: false }) })
  const ask = useMutation({ mutationFn: () => askWhy(project, engine, taskId) })
  const now = useNow()
  // What asking found is better than what is known without: it stands for a while, or until the task gets on.
  const holds = ask.data !== undefined && ask.data.state === state && now - ask.submittedAt < HOLDS
  const why = holds ? ask.data : query.data
  return (
    <details
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
      data-testid="why"
      data-state={why === undefined ? 'unknown' : 'known'}
      className="rounded-lg border border-line bg-surface"
    >
      <summary className="px-3 py-2 text-sm font-semibold">{question(state)}</summary>
      {/* As high as an answer mostly is, so that nothing below moves when it comes. */}
      <div className="flex min-h-28 flex-col gap-2 px-3 pb-3 text-sm">
        {why !== undefined ? (
          <Answer why={why} task={task} />
        ) : query.isError ? (
          <LoadFailed error={query.error} what="reasons" onRetry={() => void query.refetch()} />
        ) : (
          <p className="text-muted">Looking at what is known…</p>
        )}
        {why !== undefined && !over && <Asking ask={ask} />}
        {ask.data?.inquiry != null && <Found inquiry={ask.data.inquiry} />}
      </div>
    </details>
  )
}

function Answer({ why, task }: { why: Why; task: Task }) {
  // Several reasons may speak of one place: the first leads there.
  const ways = why.reasons.map(({ code }) => wayOf(code, task))
  return (
    <>
      <p data-testid="why-summary" className="font-medium">
        {why.summary}
      </p>
      {why.reasons.length > 0 && (
        <ul className="flex flex-col gap-2" aria-label="Reasons, the most important first">
          {why.reasons.map((reason, index) => (
            <ReasonLine key={`${reason.code}/${reason.text}`} reason={reason} way={ways.findIndex((way) => way?.to === ways[index]?.to) === index ? (ways[index] ?? null) : null} />
          ))}
        </ul>
      )}
    </>
  )
}

const icons: Record<WhyReason['role'], LucideIcon> = { blocks: OctagonX, delays: Hourglass, context: Info }
const colours: Record<WhyReason['role'], string> = { blocks: 'text-bad', delays: 'text-warn', context: 'text-muted' }

function ReasonLine({ reason: { code, text, role, known_by, known_at, since }, way }: { reason: WhyReason; way: Way | null }) {
  const Icon = icons[role]
  return (
    <li data-testid="why-reason" data-code={code} className="flex items-start gap-2">
      <Icon role="img" aria-label={roleWords[role]} size={15} className={clsx('mt-0.5 shrink-0', colours[role])} />
      <div className="min-w-0 flex-1">
        <p className="break-words">{text}</p>
        <p className="text-xs text-muted">
          {role !== 'context' && (
            <>
              {roleWords[role]}
              {since != null && <Since at={since} prefix=" for " />} ·{' '}
            </>
          )}
          {role === 'context' ? 'Known' : 'known'} from {sourceOf(known_by)}
          {known_at != null && <Ago at={known_at} prefix=", " />}
          {way !== null && (
            <>
              {' · '}
              <Link to={way.to} search={{ find: way.find }} className="underline">
                {way.words}
              </Link>
            </>
          )}
        </p>
      </div>
    </li>
  )
}

function Asking({ ask }: { ask: { isPending: boolean; isError: boolean; error: unknown; data: Why | undefined; mutate: () => void } }) {
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
      <Button reason={ask.isPending ? 'They are being asked.' : undefined} title="The agent asks the workers, looks into the queue and at the result backend" onClick={() => ask.mutate()}>
        {ask.data === undefined ? 'Ask the workers now' : 'Ask again'}
      </Button>
      <span role="status" className="text-muted">
        {ask.isPending && 'Asking; up to 10 s…'}
        {ask.isError && <span className="text-bad">{explain(ask.error)}</span>}
      </span>
    </div>
  )
}

const wordOf = (state: string) => (state in stateWords ? stateWords[state as Task['state']].word.toLowerCase() : state)

function Found({ inquiry }: { inquiry: Inquiry }) {
  const { asked_at, evidence, workers_silent: silent } = inquiry
  return (
    <section aria-label="What was found" data-testid="why-inquiry">
      <Callout tone={inquiry.found_in == null ? 'warn' : 'plain'}>
        <p>
          {findingOf(inquiry, wordOf)} <span className="text-muted">Asked <Ago at={asked_at} />.</span>
        </p>
        {evidence.length > 0 && (
          <ul className="mt-1 list-disc pl-5 text-muted">
            {evidence.map((clause) => (
              <li key={clause}>{clause}</li>
            ))}
          </ul>
        )}
        {silent.length > 0 && <p className="mt-1 text-warn">Did not answer: {silent.join(', ')}.</p>}
      </Callout>
    </section>
  )
}
