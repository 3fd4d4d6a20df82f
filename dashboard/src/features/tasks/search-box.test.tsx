import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it, vi } from 'vitest'
import { SessionContext } from '../../lib/session'
import { SearchBox } from './search-box'

const session = { principal: 'me', role: 'admin', project: 'default', projects: ['default'], version: '0' } as const

function show(problem?: string) {
  const onChange = vi.fn()
  render(
    <QueryClientProvider client={new QueryClient()}>
      <SessionContext value={{ ...session, projects: [...session.projects] }}>
        <SearchBox value="" onChange={onChange} problem={problem} />
      </SessionContext>
    </QueryClientProvider>,
  )
  return onChange
}

beforeEach(() => {
  vi.stubGlobal('fetch', () => Promise.resolve(Response.json({ items: [{ name: 'emails', engine: 'celery' }], next_cursor: null })))
})

it('completes keys and values from the keyboard, and searches', async () => {
  const onChange = show()
  const box = screen.getByRole('combobox', { name: 'Search tasks' })
  await userEvent.type(box, 'que{ArrowDown}{Enter}')
  expect(box).toHaveProperty('value', 'queue:')
  await screen.findByRole('option', { name: 'queue:emails' })
  await userEvent.keyboard('{ArrowDown}{Enter}')
  expect(box).toHaveProperty('value', 'queue:emails ')
  await userEvent.keyboard('{Enter}')
  expect(onChange).toHaveBeenLastCalledWith('queue:emails')
})

it('takes the focus on /', async () => {
  show()
  await userEvent.keyboard('/')
  expect(document.activeElement).toBe(screen.getByRole('combobox'))
})

it('says what the brain does not understand', () => {
  show('“foo” is not a word of the filter language.')
  expect(screen.getByRole('alert').textContent).toContain('foo')
})
