import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { expect, it, vi } from 'vitest'
import { Button } from './button'
import { JsonView } from './json-view'
import { StateBadge } from './state-badge'

it('a button that cannot be used says why, and does nothing', async () => {
  const run = vi.fn()
  render(<Button reason="Your role is viewer." onClick={run}>Retry</Button>)
  const button = screen.getByRole('button', { name: 'Retry' })
  expect(button.getAttribute('aria-disabled')).toBe('true')
  expect(button.title).toBe('Your role is viewer.')
  await userEvent.click(button)
  expect(run).not.toHaveBeenCalled()
})

it('JSON explains what was hidden and shows the rest as it is', () => {
  render(<JsonView value={{ to: '<email>', amount: 12.5, note: 'hi', none: null }} />)
  expect(screen.getByText('<email>').title).toMatch(/e-mail address/)
  expect(screen.getByText('12.5')).toBeTruthy()
  expect(screen.getByText('"hi"')).toBeTruthy()
})

it('long JSON is folded, and opens', async () => {
  render(<JsonView value={Array.from({ length: 30 }, (_, index) => index)} />)
  expect(screen.queryByText('29')).toBeNull()
  await userEvent.click(screen.getByRole('button', { name: '10 more' }))
  expect(screen.getByText('29')).toBeTruthy()
})

it('a state is a word, not only a colour', () => {
  render(<StateBadge state="retrying" />)
  expect(screen.getByText('Waiting for retry')).toBeTruthy()
})
