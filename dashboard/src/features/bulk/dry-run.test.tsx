import { render, screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import type { BulkDryRun } from '../../api/types'
import { DryRun } from './dry-run'

const found: BulkDryRun = {
  total: 12,
  truncated: false,
  retryable: 9,
  not_retryable: [{ code: 'already_retried', count: 3, message: null }],
  agent_offline: 0,
  by_name: [{ value: 'shop.pay', count: 9 }],
  other_names: 0,
  by_state: [{ value: 'failed', count: 12 }],
  by_queue: [],
  preview: {
    asked: 7,
    is_sample: false,
    by_source: [
      { source: 'message', lossless: true, count: 4 },
      { source: 'events', lossless: false, count: 2 },
    ],
    cannot: [{ code: 'no_original_payload', count: 1, message: null }],
    not_known: 2,
  },
}

const lines = () => screen.getAllByRole('listitem').map((line) => line.textContent)

it('says by name what would be retried, and what would not and why', () => {
  render(<DryRun found={found} />)
  // One of the nine has no arguments any more.
  expect(screen.getByText(/^12 tasks match\. Of these, 8 tasks can be retried/)).toBeDefined()
  expect(lines()).toEqual([
    'shop.pay9',
    'retried before3',
    'available, exactly as they were4',
    'available, read from their text form2',
    'original arguments not available1',
  ])
  expect(screen.getByText(/Of 2 tasks the agent cannot say/)).toBeDefined()
  expect(screen.queryByText(/will wait/)).toBeNull()
})

it('says of picked tasks that they are picked, and which are gone', () => {
  render(<DryRun found={found} picked={14} />)
  expect(screen.getByText(/^12 tasks are picked\. Of these, 8 tasks can be retried/)).toBeDefined()
  expect(screen.getByText('2 picked tasks are not known any more.')).toBeDefined()
})

it('speaks of one task as of one', () => {
  const preview = { ...found.preview, asked: 1, cannot: [] }
  const { rerender } = render(<DryRun found={{ ...found, total: 1, retryable: 1, preview }} picked={1} />)
  expect(screen.getByText('1 task is picked. It runs again as a new task with its original arguments.')).toBeDefined()
  const gone = { ...preview, by_source: [], cannot: [{ code: 'no_original_payload', count: 1, message: null }] }
  rerender(<DryRun found={{ ...found, total: 1, retryable: 1, preview: gone }} picked={1} />)
  expect(screen.getByText('1 task is picked. It cannot be retried.')).toBeDefined()
})

it('says what running lost tasks again may do', () => {
  const { rerender } = render(<DryRun found={found} />)
  expect(screen.queryByText(/are lost/)).toBeNull()
  rerender(<DryRun found={{ ...found, by_state: [...found.by_state, { value: 'lost', count: 3 }] }} />)
  expect(screen.getByText(/^3 of them are lost: they may have done their work/)).toBeDefined()
})

it('says when it is a sample, and which tasks have to wait', () => {
  render(<DryRun found={{ ...found, truncated: true, agent_offline: 4, preview: { ...found.preview, is_sample: true } }} />)
  expect(screen.getByText(/or more: a job takes the newest 100,000/)).toBeDefined()
  expect(screen.getByText(/of 7 asked about/)).toBeDefined()
  expect(screen.getByText(/Of these, 9 tasks can be retried/)).toBeDefined()
  expect(screen.getByText(/4 tasks will wait/)).toBeDefined()
})
