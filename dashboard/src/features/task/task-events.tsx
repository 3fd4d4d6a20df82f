import { useQuery } from '@tanstack/react-query'
import { taskEventsQuery } from '../../api/queries'
import { JsonView } from '../../components/ui/json-view'
import { Empty } from '../../components/ui/notice'
import { Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Clock } from '../../components/ui/time'
import { isRecord } from '../../lib/format'
import { between, duration } from '../../lib/time'
import { useProject } from '../../lib/session'
import { KnownBy } from './known-by'

const wayOf = (event: unknown): string | null => (isRecord(event) && typeof event.known_by === 'string' ? event.known_by : null)

/** The events as they arrived, after redaction: the evidence behind everything else on this page. */
export function TaskEvents({ engine, taskId }: { engine: string; taskId: string }) {
  const query = useQuery(taskEventsQuery(useProject(), engine, taskId))
  return (
    <Panel title="Raw events" aside="as the agent sent them, after redaction">
      <QueryView query={query} what="events">
        {({ items, next_cursor: more }) =>
          items.length === 0 ? (
            <Empty title="The events of this task are not kept any more" />
          ) : (
            <ol className="flex flex-col gap-2">
              {items.map((event) => {
                const way = wayOf(event.event)
                return (
                  <li key={`${event.agent}/${event.seq}/${event.ts}/${event.event_type}`}>
                    <details>
                      <summary className="text-sm">
                        <span className="font-mono">{event.event_type}</span>{' '}
                        <span className="text-muted">
                          <Clock at={event.ts} /> · from {event.agent} ·{' '}
                          {event.ts_replaced ? 'it told no credible time: this is when it arrived' : `arrived ${duration(between(event.ts, event.received_at) ?? 0)} later`}
                          {way !== null && (
                            <>
                              {' · '}
                              <KnownBy way={way} />
                            </>
                          )}
                        </span>
                      </summary>
                      <div className="mt-1 rounded-md bg-raised p-2">
                        <JsonView value={event.event} />
                      </div>
                    </details>
                  </li>
                )
              })}
              {more != null && <li className="text-sm text-muted">Only the first {items.length} events are shown.</li>}
            </ol>
          )
        }
      </QueryView>
    </Panel>
  )
}
