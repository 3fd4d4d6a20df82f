import { expect, it } from 'vitest'
import { AT, at } from '../../test-fixtures'
import { bars } from './attempts'

it('shows wait and run apart on one axis', () => {
  const [first, second] = bars(
    [
      { attempt: 0, state: 'retrying', sent_at: AT, started_at: at(2), finished_at: at(4) },
      { attempt: 1, state: 'failed', received_at: at(6), started_at: at(8), finished_at: at(10) },
    ],
    Date.parse(at(100)),
  )
  expect(first).toMatchObject({ waitFrom: 0, waitTo: 0.2, runTo: 0.4, waitMs: 2000, runMs: 2000, open: false })
  expect(second).toMatchObject({ waitFrom: 0.6, waitTo: 0.8, runTo: 1, waitMs: 2000, runMs: 2000 })
})

it('lets a running attempt grow to now', () => {
  const [bar] = bars([{ attempt: 0, state: 'started', sent_at: AT, started_at: at(5) }], Date.parse(at(10)))
  expect(bar).toMatchObject({ waitTo: 0.5, runTo: 1, runMs: 5000, open: true })
})

it('knows nothing about attempts without times', () => expect(bars([{ attempt: 0, state: 'pending' }], 0)).toEqual([]))
