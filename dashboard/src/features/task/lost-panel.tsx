import { Panel } from '../../components/ui/panel'
import { Clock } from '../../components/ui/time'
import type { Lost } from '../../api/types'

/** Why a task is thought to be lost: it is a judgement, and shows what it rests on. */
export function LostPanel({ lost: { at, worker, evidence } }: { lost: Lost }) {
  return (
    <Panel
      title="Why we think that it is lost"
      aside={
        <>
          judged at <Clock at={at} />
        </>
      }
    >
      <ul data-testid="lost-evidence" className="list-disc pl-5 text-sm">
        {worker != null && !evidence.some((clause) => clause.includes(worker)) && (
          <li>
            last held by <span className="font-mono text-xs">{worker}</span>
          </li>
        )}
        {evidence.map((clause) => (
          <li key={clause}>{clause}</li>
        ))}
      </ul>
      <p className="mt-2 text-sm text-muted">It is not retried by itself, for it may have done a part of its work, or all of it. Should something be heard of it after all, that is shown instead.</p>
    </Panel>
  )
}
