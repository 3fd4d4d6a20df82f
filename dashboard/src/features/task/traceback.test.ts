import { expect, it } from 'vitest'
import { groupFrames, parseTraceback } from './traceback'

const traceback = `Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/usr/lib/python3.11/site-packages/celery/app/trace.py", line 736, in __protected_call__
    return self.run(*args, **kwargs)
  File "/srv/app/tasks.py", line 88, in charge
    gateway.charge(order)
    ~~~~~~^^^^^^^
billing.CardDeclined: no
`

it('folds library frames and keeps own code', () => {
  const groups = groupFrames(parseTraceback(traceback))
  expect(groups.map((group) => ('text' in group ? 'text' : 'own' in group ? 'own' : `library ${group.library.length}`))).toEqual(['text', 'library 2', 'own', 'text'])
  const own = groups[2]
  expect(own && 'own' in own && own.own.code).toEqual(['gateway.charge(order)', '~~~~~~^^^^^^^'])
})

it('shows what is no traceback as it is', () => expect(groupFrames(parseTraceback('killed by signal 9'))).toEqual([{ text: 'killed by signal 9' }]))
