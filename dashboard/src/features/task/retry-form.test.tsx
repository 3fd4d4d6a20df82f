import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render, screen, waitFor } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it, vi } from 'vitest'
import type { RetryOverride } from '../../api/commands'
import { AT, task } from '../../test-fixtures'
import { RetryForm } from './retry-form'

vi.mock('../../lib/session', () => ({ useProject: () => 'default' }))

const preview = { source: 'message', lossless: true, name: 'billing.charge', queue: 'billing', eta: null, notes: [], args_redacted: [17], kwargs_redacted: {} }
const answered = (result: unknown) => ({ id: 'c1', cmd: 'preview_retry', args: {}, status: 'succeeded', result, created_at: AT, created_by: 'me' })

let confirmed: (RetryOverride | undefined)[]
let result: unknown
/** The overrides that the agent was asked about. */
let asked: unknown[]
beforeEach(() => {
  confirmed = []
  asked = []
  result = { previews: { t1: preview }, failed: {} }
  vi.stubGlobal('fetch', async (request: Request) => {
    if (request.method === 'POST') asked.push(((await request.clone().json()) as { args: { override?: RetryOverride } }).args.override)
    return Response.json(answered(result), { status: 202 })
  })
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true
  }
  HTMLDialogElement.prototype.close = function () {
    this.open = false
  }
})

function show(changed = false) {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <RetryForm task={task({ state: 'failed', args_redacted: [17], kwargs_redacted: {} })} repeats="" changed={changed} onClose={() => undefined} onConfirm={(override) => confirmed.push(override)} />
    </QueryClientProvider>,
  )
}

it('retries only once it has shown what is sent', async () => {
  show()
  const retry = screen.getByRole('button', { name: 'Retry 1 task' })
  expect(retry.getAttribute('aria-disabled')).toBe('true')
  await screen.findByText('billing')
  await userEvent.click(retry)
  expect(confirmed).toEqual([undefined])
})

it('does not offer what cannot be, and says why', async () => {
  result = { previews: {}, failed: { t1: { error: 'no_original_payload', message: 'they were never seen' } } }
  show()
  await screen.findByText('They were never seen.')
  await userEvent.click(screen.getByRole('button', { name: 'Retry 1 task' }))
  expect(confirmed).toEqual([])
})

it('sends it elsewhere with its own arguments, or with others, once it has shown what is sent', async () => {
  show()
  await screen.findByText('billing')
  await userEvent.click(screen.getByRole('button', { name: 'Change it first…' }))
  await userEvent.type(screen.getByLabelText(/^Queue/), 'slow')
  const retry = screen.getByRole('button', { name: 'Retry 1 task' })
  expect(retry.getAttribute('aria-disabled')).toBe('true')
  await waitFor(() => expect(asked.at(-1)).toEqual({ queue: 'slow' }))
  await screen.findByText('billing')
  await userEvent.click(retry)
  await userEvent.click(screen.getByRole('radio', { name: 'Others' }))
  await waitFor(() => expect(asked.at(-1)).toEqual({ args: [17], kwargs: {}, queue: 'slow' }))
  await screen.findByText('billing')
  await userEvent.click(retry)
  expect(confirmed).toEqual([{ queue: 'slow' }, { args: [17], kwargs: {}, queue: 'slow' }])
  expect(asked).toHaveLength(3)
})
