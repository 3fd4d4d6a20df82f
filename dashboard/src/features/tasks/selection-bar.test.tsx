import { render, screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import type { Task } from '../../api/types'
import { SessionContext } from '../../lib/session'
import { task } from '../../test-fixtures'
import { SelectionBar } from './selection-bar'

const session = { principal: 'me', role: 'admin', project: 'default', projects: ['default'], version: '0' } as const
const ignore = () => undefined
const many = (amount: number, state: Task['state']) => Array.from({ length: amount }, (_, index) => task({ task_id: `${state}${index}`, state }))

function show(selected: Task[]) {
  render(
    <SessionContext value={{ ...session, projects: [...session.projects] }}>
      <SelectionBar selected={selected} loaded={selected.length} onCancel={ignore} onSelectAll={ignore} onClear={ignore} />
    </SessionContext>,
  )
  return screen.getAllByRole('button').map((button) => button.textContent)
}

it('offers to retry what failed, and to cancel what is not over', () => {
  expect(show([...many(2, 'failed'), ...many(3, 'succeeded'), ...many(4, 'pending')])).toEqual(['Retry 2 tasks', 'Cancel 4 tasks', 'Clear'])
})

it('offers to run successes again where nothing failed', () => {
  expect(show(many(3, 'succeeded'))).toEqual(['Retry 3 tasks', 'Clear'])
})

it('says that a job takes a thousand picked tasks, and no more', () => {
  show(many(1000, 'failed'))
  expect(screen.getByRole('button', { name: 'Retry 1,000 tasks' }).getAttribute('aria-disabled')).toBeNull()
  expect(screen.queryByText(/at most 1,000/)).toBeNull()
})

it('refuses one more', () => {
  show(many(1001, 'failed'))
  expect(screen.getByRole('button', { name: 'Retry 1,001 tasks' }).getAttribute('aria-disabled')).toBe('true')
  expect(screen.getByText(/at most 1,000 picked tasks/)).toBeDefined()
})
