import { render, screen } from '@testing-library/react'
import { expect, it, vi } from 'vitest'
import { RetryPreviewView } from './retry-preview-view'

vi.mock('../../lib/session', () => ({ useProject: () => 'default' }))

const preview = { source: 'message', lossless: true, name: 'mail.send', queue: 'mail', eta: null, notes: ['the rest of its chain runs after it'], args: ['<email>', 7], kwargs: {} }

it('shows what would be sent, where it comes from and what comes along', () => {
  render(<RetryPreviewView waiting="" answer={{ can: true, preview }} />)
  const section = screen.getByTestId('retry-preview')
  expect(section.textContent).toContain('Its message is still with the broker. Nothing of it is lost.')
  expect(section.textContent).toContain('mail.send')
  expect(section.textContent).toContain('the rest of its chain runs after it')
  expect(screen.getByLabelText(/e-mail address/)).toBeDefined()
})

it('says when not all is there', () => {
  render(<RetryPreviewView waiting="" answer={{ can: true, preview: { ...preview, source: 'events', lossless: false } }} />)
  expect(screen.getByTestId('retry-preview').textContent).toContain('text form in events. It may not be all')
})

it('says why it cannot be retried, and that it waits', () => {
  const { rerender } = render(<RetryPreviewView waiting="Asking the agent…" answer={null} />)
  expect(screen.getByTestId('retry-preview').textContent).toBe('Asking the agent…')
  rerender(<RetryPreviewView waiting="" answer={{ can: false, code: 'no_original_payload', message: 'only their text form was seen' }} />)
  expect(screen.getByTestId('retry-preview').textContent).toContain('Only their text form was seen.')
})

it('shows a dash for arguments that the agent cannot read', () => {
  const { args: _args, kwargs: _kwargs, ...unread } = preview
  render(<RetryPreviewView waiting="" answer={{ can: true, preview: unread }} />)
  expect(screen.getAllByTitle(/cannot read them/).map((value) => value.textContent)).toEqual(['—', '—'])
})
