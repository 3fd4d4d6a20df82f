import { render, screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import { command } from '../../test-fixtures'
import { asked, outcome } from '../commands/sentence'
import { WorkerReplies } from './worker-replies'

const ordered = command({
  cmd: 'worker_control',
  status: 'succeeded',
  args: { engine: 'celery', workers: ['w1@h', 'w2@h', 'w3@h'], action: 'pool_grow', n: 2 },
  result: { replies: { 'w1@h': { ok: true, reply: 'pool will grow' }, 'w2@h': { ok: false, error: 'no' } }, silent: ['w3@h'] },
})

it('shows the reply of each worker, the ones that did not do it first', () => {
  render(<WorkerReplies command={ordered} />)
  expect(screen.getAllByRole('listitem').map((line) => line.textContent)).toEqual(['w2@h refused: no', 'w3@h did not reply in time', 'w1@h pool will grow'])
})

it('says what was ordered and how many did not do it', () => {
  expect(asked(ordered)).toBe('Grow the pool of w1@h, w2@h, w3@h by 2 slots')
  expect(outcome(ordered)).toBe('Not done by 2 workers.')
  expect(asked(command({ cmd: 'worker_control', args: { engine: 'celery', worker: 'w1@h', action: 'shutdown' } }))).toBe('Shut down w1@h')
})
