import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { expect, it, vi } from 'vitest'
import { Button } from './button'
import { Findable } from './findable'
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

function names(amount: number) {
  const items = Array.from({ length: amount }, (_, index) => `web-${index}`)
  render(
    <Findable items={items} noun="agent" text={(item) => item}>
      {(shown) => shown.map((item) => <li key={item}>{item}</li>)}
    </Findable>,
  )
}

it('a short list is shown whole, without a field', () => {
  names(20)
  expect(screen.getAllByRole('listitem')).toHaveLength(20)
  expect(screen.queryByRole('textbox')).toBeNull()
})

it('of a long list some are drawn, more on demand, and any is found', async () => {
  names(10_000)
  expect(screen.getAllByRole('listitem')).toHaveLength(50)
  await userEvent.click(screen.getByRole('button', { name: 'Show 50 of 9,950 more' }))
  expect(screen.getAllByRole('listitem')).toHaveLength(100)
  await userEvent.type(screen.getByRole('textbox', { name: 'Find agents' }), 'WEB-9999')
  expect(screen.getAllByRole('listitem').map((item) => item.textContent)).toEqual(['web-9999'])
  await userEvent.type(screen.getByRole('textbox', { name: 'Find agents' }), 'x')
  expect(screen.getByText('None of 10,000 agents is named so.')).toBeTruthy()
})

it('finds by what the address says, also in a short list, and tells it what is typed', async () => {
  const onSeek = vi.fn()
  const list = (sought: string) => (
    <Findable items={['web-1', 'web-2', 'mail']} noun="agent" text={(item) => item} seeking={{ sought, onSeek }}>
      {(shown) => shown.map((item) => <li key={item}>{item}</li>)}
    </Findable>
  )
  const { rerender } = render(list('web'))
  expect(screen.getAllByRole('listitem')).toHaveLength(2)
  await userEvent.type(screen.getByRole('textbox', { name: 'Find agents' }), '-2')
  expect(onSeek).toHaveBeenLastCalledWith('web-2')
  expect(screen.getAllByRole('listitem')).toHaveLength(1)
  await userEvent.tab()
  rerender(list(''))
  expect(screen.getAllByRole('listitem')).toHaveLength(3)
})
