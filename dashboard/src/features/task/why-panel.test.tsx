import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it, vi } from 'vitest'
import type { Task, Why } from '../../api/types'
import { AT, task } from '../../test-fixtures'
import { WhyPanel } from './why-panel'

vi.mock('../../lib/session', () => ({ useProject: () => 'default' }))
vi.mock('@tanstack/react-router', () => ({ Link: ({ to, children }: { to: string; children: string }) => <a href={to}>{children}</a> }))

const why: Why = {
  engine: 'celery',
  task_id: 't1',
  state: 'pending',
  summary: 'Nothing consumes its queue.',
  reasons: [{ code: 'queue_unconsumed', text: 'No worker consumes the queue emails.', role: 'blocks', known_by: 'queue_sample', known_at: AT, since: null }],
  inquiry: null,
}
const inquiry: Why['inquiry'] = { asked_at: AT, state: 'pending', found_in: 'queue', evidence: ['no result of it is in the result backend'], workers_silent: ['w2'] }

let asked: string[]
beforeEach(() => {
  asked = []
  vi.stubGlobal('fetch', (request: Request) => {
    const { pathname, search } = new URL(request.url)
    asked.push(pathname + search)
    return Promise.resolve(Response.json(search === '' ? why : { ...why, inquiry }))
  })
})

const HERE = '/api/v1/projects/default/tasks/celery/t1/why'

function show(fields: Partial<Task>) {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <WhyPanel task={task({ queue: 'emails', ...fields })} />
    </QueryClientProvider>,
  )
}

it('says at once why a waiting task does not run, and how that is known', async () => {
  show({ state: 'pending' })
  expect(screen.getByText('Why is this not running?')).toBeTruthy()
  const reason = await screen.findByTestId('why-reason')
  expect(screen.getByTestId('why-summary').textContent).toBe('Nothing consumes its queue.')
  expect(reason.textContent).toContain('known from a sample of the queue')
  expect(screen.getByRole('img', { name: 'Keeps it from running' })).toBeTruthy()
  expect(screen.getByRole('link', { name: 'See the queue' }).getAttribute('href')).toBe('/queues')
  expect(asked).toEqual([HERE])
})

it('asks about a running task only when someone wants to know', async () => {
  show({ state: 'started' })
  expect(asked).toEqual([])
  await userEvent.click(screen.getByText('Is it still running?'))
  // jsdom opens no details by itself: the event is what tells.
  screen.getByTestId<HTMLDetailsElement>('why').open = true
  await screen.findByTestId('why-summary')
  expect(asked).toEqual([HERE])
})

it('asks the workers, and shows what was looked at and who was silent', async () => {
  show({ state: 'received' })
  await userEvent.click(await screen.findByRole('button', { name: 'Ask the workers now' }))
  const found = await screen.findByTestId('why-inquiry')
  expect(asked.at(-1)).toBe(`${HERE}?ask=true`)
  expect(found.textContent).toContain('Found in its queue. Its state there: sent.')
  expect(found.textContent).toContain('no result of it is in the result backend')
  expect(found.textContent).toContain('Did not answer: w2.')
  expect(screen.getByRole('button', { name: 'Ask again' })).toBeTruthy()
})
