import type { Command } from '../../api/types'
import { workerReplies } from '../commands/sentence'

/** What each worker said to an order, in its own words. */
export function WorkerReplies({ command }: { command: Command }) {
  const { replied, refused, silent } = workerReplies(command)
  return (
    <ul className="mt-1 max-h-40 overflow-y-auto text-xs" data-testid="worker-replies">
      {refused.map(([worker, why]) => (
        <li key={worker}>
          <span className="font-mono">{worker}</span> <span className="text-bad">refused: {why}</span>
        </li>
      ))}
      {silent.map((worker) => (
        <li key={worker}>
          <span className="font-mono">{worker}</span> <span className="text-warn">did not reply in time</span>
        </li>
      ))}
      {replied.map(([worker, said]) => (
        <li key={worker}>
          <span className="font-mono">{worker}</span> {said}
        </li>
      ))}
    </ul>
  )
}
