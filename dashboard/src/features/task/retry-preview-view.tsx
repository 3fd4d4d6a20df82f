import { useEffect, useRef, type ReactNode } from 'react'
import { useQuery } from '@tanstack/react-query'
import { explain } from '../../api/client'
import { commandQuery } from '../../api/commands'
import type { Command, Task } from '../../api/types'
import { JsonView } from '../../components/ui/json-view'
import { Callout } from '../../components/ui/notice'
import { Clock } from '../../components/ui/time'
import { useProject } from '../../lib/session'
import { failure, outcome } from '../commands/sentence'
import { useSendCommand } from '../commands/use-send-command'
import { previewed, sourceWords, type Previewed, type RetryPreview } from './retry-preview'

/** Asks the agent, once, what a retry of the task would send. */
export function useRetryPreview({ engine, task_id }: Task): { answer: Previewed; waiting: string } {
  const sent = useSendCommand()
  const asked = useRef(false)
  const { send } = sent
  useEffect(() => {
    if (asked.current) return
    asked.current = true
    send({ cmd: 'preview_retry', args: { engine, task_ids: [task_id] } })
  }, [send, engine, task_id])
  const followed = useFollowed(sent.data)
  if (sent.isError) return { answer: { can: false, code: '', message: explain(sent.error) }, waiting: '' }
  if (!followed) return { answer: null, waiting: 'Asking the agent…' }
  return { answer: previewed(followed, task_id), waiting: outcome(followed) }
}

function useFollowed(sent: Command | undefined): Command | undefined {
  const query = useQuery({ ...commandQuery(useProject(), sent?.id ?? ''), enabled: sent !== undefined })
  return query.data ?? sent
}

/** What a retry would send, or why it cannot be retried as it was. */
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
          <JsonView value={preview.args} />
        </Row>
        <Row name="Keyword arguments">
          <JsonView value={preview.kwargs} />
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

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  )
}
