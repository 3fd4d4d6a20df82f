import { useEffect, useState, type ReactNode } from 'react'
import { useQuery } from '@tanstack/react-query'
import { explain } from '../../api/client'
import { commandQuery, type RetryOverride } from '../../api/commands'
import type { Command, Task } from '../../api/types'
import { JsonView } from '../../components/ui/json-view'
import { Callout } from '../../components/ui/notice'
import { Clock } from '../../components/ui/time'
import { useProject } from '../../lib/session'
import { failure, outcome } from '../commands/sentence'
import { useSendCommand } from '../commands/use-send-command'
import { previewed, sourceWords, type Previewed, type RetryPreview } from './retry-preview'

/** In milliseconds; who still types is not asked about. */
const TYPES_ON = 600

/** Asks the agent what a retry of the task would send, and again when that is changed; not while `override` is null, which is none. */
export function useRetryPreview({ engine, task_id }: Task, override?: RetryOverride | null): { answer: Previewed; waiting: string } {
  const sent = useSendCommand()
  const [asked, setAsked] = useState<string>()
  const { send } = sent
  const wanted = override === null ? null : JSON.stringify(override ?? {})
  const isFirst = asked === undefined
  useEffect(() => {
    if (wanted === null || wanted === asked) return
    const changes = JSON.parse(wanted) as RetryOverride
    const ask = () => {
      setAsked(wanted)
      send({ cmd: 'preview_retry', args: { engine, task_ids: [task_id], ...(wanted !== '{}' && { override: changes }) } })
    }
    const timer = setTimeout(ask, isFirst ? 0 : TYPES_ON)
    return () => clearTimeout(timer)
  }, [send, engine, task_id, wanted, asked, isFirst])
  const followed = useFollowed(sent.data)
  if (wanted === null) return { answer: null, waiting: 'What would be sent is shown here once it can be read.' }
  if (wanted !== asked) return { answer: null, waiting: 'Asking the agent…' }
  if (sent.isError) return { answer: { can: false, code: '', message: explain(sent.error) }, waiting: '' }
  if (!followed) return { answer: null, waiting: 'Asking the agent…' }
  return { answer: previewed(followed, task_id), waiting: outcome(followed) }
}

function useFollowed(sent: Command | undefined): Command | undefined {
  const query = useQuery({ ...commandQuery(useProject(), sent?.id ?? ''), enabled: sent !== undefined })
  return query.data ?? sent
}

/** What a retry would send, or why it cannot be sent. */
export function RetryPreviewView({ answer, waiting }: { answer: Previewed; waiting: string }) {
  return (
    <section aria-label="What a retry sends" aria-live="polite" className="mb-4" data-testid="retry-preview" data-state={answer === null ? 'waiting' : answer.can ? 'can' : 'cannot'}>
      {answer === null ? (
        <p className="text-sm text-muted">{waiting}</p>
      ) : answer.can ? (
        <WhatIsSent preview={answer.preview} />
      ) : (
        <Callout tone="warn">{answer.code === '' && answer.message !== '' ? answer.message : failure(answer.code, answer.message)}</Callout>
      )}
    </section>
  )
}

function WhatIsSent({ preview }: { preview: RetryPreview }) {
  return (
    <Callout tone={preview.lossless ? 'good' : 'warn'}>
      <p className="mb-2">
        {sourceWords(preview.source)} {preview.lossless ? 'Nothing of it is lost.' : 'It may not be all that the original message had.'}
      </p>
      <dl className="grid grid-cols-[auto_1fr] gap-x-3 gap-y-1">
        <Row name="Task">{preview.name}</Row>
        <Row name="Queue">{preview.queue}</Row>
        {preview.eta !== null && (
          <Row name="Not before">
            <Clock at={preview.eta} />
          </Row>
        )}
        <Row name="Arguments">
          <Value value={preview.args} />
        </Row>
        <Row name="Keyword arguments">
          <Value value={preview.kwargs} />
        </Row>
      </dl>
      {preview.notes.length > 0 && (
        <ul className="mt-2 list-disc pl-5 text-muted">
          {preview.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
    </Callout>
  )
}

/** An agent cannot read what was pickled, say: it is sent as it was. */
function Value({ value }: { value: unknown }) {
  return value === undefined ? <span title="The agent sends them as they were, and cannot read them.">—</span> : <JsonView value={value} />
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  )
}
