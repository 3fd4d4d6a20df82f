import { useQuery } from '@tanstack/react-query'
import { quarantineQuery } from '../../api/queries'
import { Empty } from '../../components/ui/notice'
import { Panel } from '../../components/ui/panel'
import { QueryView } from '../../components/ui/query-view'
import { Ago } from '../../components/ui/time'
import { useProject } from '../../lib/session'

/** Events that nobody could make sense of: each with the reason, so that whoever wrote the agent can mend it. */
export function Quarantine() {
  const query = useQuery(quarantineQuery(useProject()))
  return (
    <Panel title="Events in quarantine" aside="kept aside because they were not understood; everything else went on">
      <QueryView query={query} what="events in quarantine">
        {({ items, next_cursor: more }) =>
          items.length === 0 ? (
            <Empty title="They are not kept any more" />
          ) : (
            <ol className="flex flex-col gap-2">
              {items.map((event) => (
                <li key={event.id}>
                  <details>
                    <summary className="text-sm">
                      {event.reason}{' '}
                      <span className="text-muted">
                        · from {event.agent}
                        <Ago at={event.received_at} prefix=", " />
                      </span>
                    </summary>
                    <pre className="mt-1 overflow-x-auto rounded-md bg-raised p-2 text-xs">{event.raw}</pre>
                  </details>
                </li>
              ))}
              {more != null && <li className="text-sm text-muted">Only the newest {items.length} are shown.</li>}
            </ol>
          )
        }
      </QueryView>
    </Panel>
  )
}
