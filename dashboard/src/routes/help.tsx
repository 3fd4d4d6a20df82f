import { Fragment } from 'react'
import { Button } from '../components/ui/button'
import { Dialog, DialogActions } from '../components/ui/dialog'
import { StateBadge } from '../components/ui/state-badge'
import { STATES, stateWords } from '../lib/states'

const SHORTCUTS = [
  ['⌘K or Ctrl K', 'Go to a page or a task'],
  ['/', 'Search tasks'],
  ['j, k', 'Next, previous task'],
  ['Enter', 'Open the task'],
  ['x', 'Select the task (Shift click selects a range)'],
  ['r', 'Retry the task, or the selected ones'],
  ['Esc', 'Clear the selection, close the task'],
  ['?', 'This help'],
] as const

const SEARCHES = [
  ['name:billing.*', 'by task name'],
  ['queue:emails worker:w1', 'all words must match'],
  ['since:2h until:1h', 'within a time'],
  ['arg:order_id=17', 'by an argument that was not hidden'],
  ['"card declined"', 'text of an error or a name'],
] as const

function Pairs({ pairs }: { pairs: readonly (readonly [string, string])[] }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
      {pairs.map(([term, meaning]) => (
        <Fragment key={term}>
          <dt className="font-mono text-xs leading-5">{term}</dt>
          <dd className="text-muted">{meaning}</dd>
        </Fragment>
      ))}
    </dl>
  )
}

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Help" wide onClose={onClose}>
      <div className="grid gap-5 sm:grid-cols-2">
        <section>
          <h3 className="mb-1.5 text-sm font-medium">Keyboard</h3>
          <Pairs pairs={SHORTCUTS} />
        </section>
        <section>
          <h3 className="mb-1.5 text-sm font-medium">Search</h3>
          <Pairs pairs={SEARCHES} />
        </section>
        <section className="sm:col-span-2">
          <h3 className="mb-1.5 text-sm font-medium">What the states mean</h3>
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
            {STATES.map((state) => (
              <Fragment key={state}>
                <dt>
                  <StateBadge state={state} />
                </dt>
                <dd className="text-muted">
                  {stateWords[state].meaning} <span className="font-mono text-xs">state:{state}</span>
                </dd>
              </Fragment>
            ))}
          </dl>
        </section>
      </div>
      <DialogActions>
        <Button look="primary" onClick={onClose}>
          Close
        </Button>
      </DialogActions>
    </Dialog>
  )
}
