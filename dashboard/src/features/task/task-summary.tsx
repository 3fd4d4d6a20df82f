import type { TaskDetail } from '../../api/types'
import { Panel } from '../../components/ui/panel'
import { isOver } from '../../lib/states'
import { AttemptsView } from './attempts-view'
import { Payload } from './payload'
import { TaskCommands } from './task-commands'
import { TimelineView } from './timeline-view'
import { TracebackView } from './traceback-view'
import { Workflow } from './workflow'

export function TaskSummary({ task }: { task: TaskDetail }) {
  const earlier = task.attempts.filter((attempt) => attempt.traceback != null && attempt.traceback !== task.traceback)
  return (
    <>
      {(task.traceback != null || earlier.length > 0) && (
        <Panel title="Error">
          {task.traceback != null && <TracebackView traceback={task.traceback} />}
          {earlier.map((attempt) => (
            <details key={attempt.attempt} className="mt-2">
              <summary className="text-sm text-muted">Traceback of attempt {attempt.attempt + 1}</summary>
              <TracebackView traceback={attempt.traceback ?? ''} />
            </details>
          ))}
        </Panel>
      )}
      <Panel title="Attempts">
        <AttemptsView attempts={task.attempts} />
        {task.timeline.length > 0 && (
          <details className="mt-3">
            <summary className="text-sm text-muted">What happened, in order ({task.timeline.length})</summary>
            <TimelineView entries={task.timeline} />
          </details>
        )}
      </Panel>
      <div className="grid items-start gap-4 sm:grid-cols-2">
        <Payload title="Arguments" value={task.args_redacted} missing="No event told the arguments." />
        <Payload title="Keyword arguments" value={task.kwargs_redacted} missing="No event told the keyword arguments." />
      </div>
      {task.state === 'succeeded' ? (
        <Payload title="Result" value={task.result_redacted} missing="It returned nothing, or the result was not told." />
      ) : (
        !isOver(task.state) && task.result_redacted != null && <Payload title="Result so far" value={task.result_redacted} missing="" />
      )}
      <Workflow task={task} />
      <TaskCommands taskId={task.task_id} />
    </>
  )
}
