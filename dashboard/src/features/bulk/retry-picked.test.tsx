import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createMemoryHistory, createRootRoute, createRoute, createRouter, Outlet, RouterProvider } from '@tanstack/react-router'
import { render, screen, waitFor } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it, vi } from 'vitest'
import type { BulkDryRun, NewBulkJob, Task } from '../../api/types'
import { SessionContext } from '../../lib/session'
import { task } from '../../test-fixtures'
import { RetryPicked } from './retry-picked'

const session = { principal: 'me', role: 'admin', project: 'default', projects: ['default'], version: '0' } as const
const failed = task({ task_id: 'f', state: 'failed' })
const succeeded = task({ task_id: 's', state: 'succeeded' })

const asked: NewBulkJob[] = []

/** As the brain would: successes are retried only if they are asked for. */
function dryRun({ filter, include = [] }: NewBulkJob): BulkDryRun {
  const ids = filter.ids ?? []
  const left = ids.includes('s') && !include.includes('succeeded') ? 1 : 0
  return {
    total: ids.length,
    truncated: false,
    retryable: ids.length - left,
    not_retryable: left > 0 ? [{ code: 'state_succeeded', count: left, message: null }] : [],
    agent_offline: 0,
    by_name: [{ value: 'billing.charge', count: ids.length - left }],
    other_names: 0,
    by_state: [],
    by_queue: [],
    preview: { asked: 0, is_sample: false, by_source: [], cannot: [], not_known: 0 },
  }
}

beforeEach(() => {
  asked.length = 0
  vi.stubGlobal('scrollTo', () => undefined)
  vi.stubGlobal('fetch', async (request: Request) => {
    const body = (await request.json()) as NewBulkJob
    asked.push(body)
    return body.dry_run ? Response.json(dryRun(body)) : Response.json({ id: 'j1', counts: {} }, { status: 202 })
  })
})

function show(tasks: Task[]) {
  const root = createRootRoute({ component: Outlet })
  const list = createRoute({ getParentRoute: () => root, path: '/', component: () => <RetryPicked tasks={tasks} onClose={() => undefined} /> })
  const job = createRoute({ getParentRoute: () => root, path: '/bulk/$jobId', component: () => <p>The job page</p> })
  const router = createRouter({ routeTree: root.addChildren([list, job]), history: createMemoryHistory() })
  render(
    <QueryClientProvider client={new QueryClient()}>
      <SessionContext value={{ ...session, projects: [...session.projects] }}>
        <RouterProvider router={router as never} />
      </SessionContext>
    </QueryClientProvider>,
  )
}

it('makes a job of exactly the picked tasks, and leads to it', async () => {
  show([failed, task({ task_id: 'g', state: 'failed' })])
  await userEvent.click(await screen.findByRole('button', { name: 'Retry 2 tasks' }))
  await screen.findByText('The job page')
  const [looked, made] = asked
  expect(looked).toEqual({ cmd: 'retry', filter: { ids: ['f', 'g'] }, include: [], dry_run: true })
  expect(made).toMatchObject({ cmd: 'retry', filter: { ids: ['f', 'g'] }, include: [], expected_count: 2, canary: 5, rate_per_minute: 600 })
})

it('leaves successes among failures alone until they are asked for', async () => {
  show([failed, succeeded])
  await screen.findByRole('button', { name: 'Retry 1 task' })
  await userEvent.click(screen.getByRole('checkbox', { name: /Run the 1 task that succeeded again, too/ }))
  await userEvent.click(await screen.findByRole('button', { name: 'Retry 2 tasks' }))
  await waitFor(() => expect(asked.at(-1)).toMatchObject({ include: ['succeeded'], expected_count: 2 }))
})

it('one success by itself is meant, and needs no pace', async () => {
  show([succeeded])
  expect(await screen.findByText('It succeeded: running it again repeats whatever it did.')).toBeDefined()
  await userEvent.click(await screen.findByRole('button', { name: 'Retry 1 task' }))
  await screen.findByText('The job page')
  expect(screen.queryByRole('spinbutton')).toBeNull()
  expect(asked.at(-1)).toMatchObject({ filter: { ids: ['s'] }, include: ['succeeded'], expected_count: 1 })
  expect(asked.at(-1)).not.toHaveProperty('canary')
})

it('nothing picked is nothing asked for, never everything', async () => {
  show([])
  expect(await screen.findByRole('button', { name: 'Look again' })).toBeDefined()
  expect(asked).toEqual([])
})

it('what is not over is not retried', async () => {
  show([task({ task_id: 's', state: 'started' })])
  expect((await screen.findByRole('button', { name: 'Retry 0 tasks' })).title).toBe('None of the picked tasks can be retried.')
})
