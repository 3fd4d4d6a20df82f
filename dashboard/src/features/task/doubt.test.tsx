import { render, screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import { AT, at } from '../../test-fixtures'
import { AttemptsView } from './attempts-view'
import { LostPanel } from './lost-panel'

it('a lost task shows what that rests on', () => {
  render(<LostPanel lost={{ at: AT, worker: 'w1', evidence: ['its worker is gone', 'no result of it is stored'] }} />)
  expect(screen.getAllByRole('listitem').map((line) => line.textContent)).toEqual(['last held by w1', 'its worker is gone', 'no result of it is stored'])
  expect(screen.getByText(/It is not retried by itself/)).toBeTruthy()
})

it('an attempt that was started twice names every start', () => {
  render(<AttemptsView attempts={[{ attempt: 0, state: 'started', started_at: at(60), starts: [{ at: AT, worker: 'w1' }, { at: at(60), worker: 'w2' }] }]} />)
  const starts = screen.getByTestId('starts').textContent
  expect(starts).toContain('Started 2 times')
  expect(starts).toContain('on w2 (1 min after the first)')
})

it('one that was started once says nothing of it', () => {
  render(<AttemptsView attempts={[{ attempt: 0, state: 'started', started_at: AT, starts: [{ at: AT, worker: 'w1' }] }]} />)
  expect(screen.queryByTestId('starts')).toBeNull()
})
