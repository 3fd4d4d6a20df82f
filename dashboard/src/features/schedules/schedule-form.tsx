import { useQuery } from '@tanstack/react-query'
import { useEffect, useId, useState, type ReactNode } from 'react'
import type { ScheduleFields } from '../../api/commands'
import { explain } from '../../api/client'
import { previewQuery, taskTypesQuery } from '../../api/queries'
import type { Schedule, Scheduler } from '../../api/types'
import { Button } from '../../components/ui/button'
import { Dialog, DialogActions } from '../../components/ui/dialog'
import { Segments } from '../../components/ui/segments'
import { useProject } from '../../lib/session'
import { draftOf, EXAMPLES, fieldsOf, KINDS, type Draft } from './draft'
import { InBothZones } from './when'
import { viewerZone } from './zoned'

const OPTIONS = KINDS.map((value) => ({ value, text: EXAMPLES[value].text }))
const input = 'rounded-md border border-line bg-ground px-2 py-1.5'
/** Previews wait until the writing pauses. */
const PAUSE = 250

interface Props {
  /** The one that is edited; none makes a new one. */
  schedule?: Schedule
  schedulers: readonly Scheduler[]
  onClose: () => void
  onConfirm: (scheduler: string, fields: ScheduleFields) => void
}

/** Makes or changes a schedule, and shows all the while what it would do. */
export function ScheduleForm({ schedule, schedulers, onClose, onConfirm }: Props) {
  const [draft, setDraft] = useState(() => draftOf(schedule, viewerZone()))
  const connected = schedulers.filter(({ connected_agents }) => connected_agents.length > 0)
  const [scheduler, setScheduler] = useState(schedule?.scheduler ?? connected[0]?.name ?? '')
  const settled = useSettled(draft)
  const preview = useQuery(previewQuery(useProject(), settled.kind, settled.expression.trim(), settled.kind === 'crontab' ? settled.timezone : undefined))
  const types = useQuery(taskTypesQuery(useProject(), '7d'))
  const message = useId()
  const list = useId()
  const parsed = fieldsOf(draft, schedule)
  const wrong = preview.isError && draft.expression.trim() !== '' ? explain(preview.error) : undefined
  const reason = parsed.ok ? wrong : parsed.why
  const set = (changes: Partial<Draft>) => setDraft({ ...draft, ...changes })

  return (
    <Dialog title={schedule ? `Edit ${schedule.name ?? schedule.id}` : 'New schedule'} wide onClose={onClose}>
      <form
        className="flex flex-col gap-3 text-sm"
        onSubmit={(event) => {
          event.preventDefault()
          if (parsed.ok && reason === undefined) onConfirm(scheduler, parsed.fields)
        }}
      >
        <div className="grid gap-3 sm:grid-cols-2">
          <Field label="Name">
            <input value={draft.name} data-autofocus onChange={(event) => set({ name: event.target.value })} autoComplete="off" className={input} />
          </Field>
          <Field label="Task type">
            <input value={draft.task} list={list} onChange={(event) => set({ task: event.target.value })} autoComplete="off" spellCheck={false} className={`${input} font-mono`} />
            <datalist id={list}>{types.data?.items.map(({ name }) => name != null && <option key={name} value={name} />)}</datalist>
          </Field>
        </div>
        <Segments label="Kind" options={OPTIONS} value={draft.kind} onChange={(kind) => set({ kind, expression: kind === schedule?.kind ? (schedule.expression ?? '') : '' })} />
        <div className="grid gap-3 sm:grid-cols-2">
          <Field label={`When: ${EXAMPLES[draft.kind].hint}`}>
            <input
              value={draft.expression}
              placeholder={EXAMPLES[draft.kind].example}
              aria-describedby={message}
              onChange={(event) => set({ expression: event.target.value })}
              autoComplete="off"
              spellCheck={false}
              className={`${input} font-mono`}
            />
          </Field>
          {draft.kind === 'crontab' && (
            <Field label="Time zone">
              <input value={draft.timezone} list={`${list}-zones`} onChange={(event) => set({ timezone: event.target.value })} autoComplete="off" spellCheck={false} className={input} />
              <datalist id={`${list}-zones`}>
                {Intl.supportedValuesOf('timeZone').map((zone) => (
                  <option key={zone} value={zone} />
                ))}
              </datalist>
            </Field>
          )}
        </div>
        <div id={message} role="status" data-testid="schedule-preview" className="min-h-24 rounded-md bg-raised px-3 py-2">
          {wrong !== undefined ? (
            <p className="text-bad">{wrong}</p>
          ) : preview.data && draft.expression.trim() !== '' ? (
            <>
              <p className="font-medium">{preview.data.words}</p>
              <ol className="mt-1 text-muted">
                {preview.data.next_runs.map((at) => (
                  <li key={at}>
                    <InBothZones at={at} zone={draft.kind === 'crontab' ? draft.timezone : 'UTC'} />
                  </li>
                ))}
              </ol>
              {preview.data.warnings.map((warning) => (
                <p key={warning} className="mt-1 text-warn">
                  {warning}
                </p>
              ))}
            </>
          ) : (
            <p className="text-muted">What it means, and its next five runs, are shown here.</p>
          )}
        </div>
        <details>
          <summary className="cursor-pointer text-muted">Arguments, queue, description</summary>
          <div className="mt-2 grid gap-3 sm:grid-cols-2">
            <Field label={schedule ? 'New arguments (a JSON array; empty keeps them)' : 'Arguments (a JSON array)'}>
              <textarea value={draft.args} rows={3} spellCheck={false} onChange={(event) => set({ args: event.target.value })} className={`${input} font-mono text-xs`} />
            </Field>
            <Field label={schedule ? 'New keyword arguments (a JSON object; empty keeps them)' : 'Keyword arguments (a JSON object)'}>
              <textarea value={draft.kwargs} rows={3} spellCheck={false} onChange={(event) => set({ kwargs: event.target.value })} className={`${input} font-mono text-xs`} />
            </Field>
            <Field label="Queue, if not the usual one">
              <input value={draft.queue} onChange={(event) => set({ queue: event.target.value })} autoComplete="off" spellCheck={false} className={`${input} font-mono`} />
            </Field>
            <Field label="Description">
              <input value={draft.description} onChange={(event) => set({ description: event.target.value })} className={input} />
            </Field>
            {connected.length > 1 && (
              <Field label="Scheduler">
                <select value={scheduler} onChange={(event) => setScheduler(event.target.value)} className={input}>
                  {connected.map(({ name }) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              </Field>
            )}
          </div>
        </details>
        <DialogActions>
          <Button onClick={onClose}>Leave it</Button>
          <Button type="submit" look="primary" reason={reason}>
            {schedule ? 'Change 1 schedule' : 'Make 1 schedule'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function Field({ label, children }: { label: string; children: ReactNode }) {
  return (
    <label className="flex min-w-0 flex-col gap-1">
      <span className="text-muted">{label}</span>
      {children}
    </label>
  )
}

/** What is written, once the writing has paused. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), PAUSE)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}
