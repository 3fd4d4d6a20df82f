import { expect, it } from 'vitest'
import { AT, at, attempt } from '../../test-fixtures'
import { bars } from './attempts'

it('shows wait and run apart on one axis', () => {
  const [first, second] = bars(
    [
      attempt({ state: 'retrying', sent_at: AT, started_at: at(2), finished_at: at(4) }),
      attempt({ attempt: 1, state: 'failed', received_at: at(6), started_at: at(8), finished_at: at(10) }),
    ],
    Date.parse(at(100)),
  )
  expect(first).toMatchObject({ waitFrom: 0, waitTo: 0.2, runTo: 0.4, waitMs: 2000, runMs: 2000, open: false })
  expect(second).toMatchObject({ waitFrom: 0.6, waitTo: 0.8, runTo: 1, waitMs: 2000, runMs: 2000 })
})

it('lets a running attempt grow to now', () => {
  const [bar] = bars([attempt({ state: 'started', sent_at: AT, started_at: at(5) })], Date.parse(at(10)))
  expect(bar).toMatchObject({ waitTo: 0.5, runTo: 1, runMs: 5000, open: true })
})

it('knows nothing about attempts without times', () => expect(bars([attempt({ state: 'pending' })], 0)).toEqual([]))

it('does not know how long a lost attempt ran', () => {
  const [bar] = bars([attempt({ state: 'lost', sent_at: AT, started_at: at(5), finished_at: at(600) })], Date.parse(at(700)))
  expect(bar).toMatchObject({ runMs: null, open: false })
})

it('does not know how long an attempt waited of which only the start is known', () => {
  const [bar] = bars([attempt({ started_at: AT })], Date.parse(at(5)))
  expect(bar).toMatchObject({ waitMs: null, runMs: 5000 })
})
