import { QueryClient } from '@tanstack/react-query'
import { expect, it } from 'vitest'
import type { Command } from '../api/types'
import { at, command, page, task } from '../test-fixtures'
import { applyCommands, applyTasks } from './patch'

it('writes a task into every list and detail that shows it', () => {
  const client = new QueryClient()
  client.setQueryData(['tasks', 'default', {}], { pages: [page([task()])], pageParams: [undefined] })
  client.setQueryData(['tasks', 'default', { state: 'started' }], { pages: [page([task()])], pageParams: [undefined] })
  client.setQueryData(['task', 'default', 'celery', 't1'], { ...task(), attempts: [], timeline: [] })
  client.setQueryData(['task', 'default', 'celery', 't2'], { ...task({ task_id: 't2' }), attempts: [], timeline: [] })
  applyTasks(client, [task({ state: 'succeeded', updated_at: at(1) })])
  expect(client.getQueryData(['tasks', 'default', {}])).toMatchObject({ pages: [{ items: [{ state: 'succeeded' }] }] })
  expect(client.getQueryData(['tasks', 'default', { state: 'started' }])).toMatchObject({ pages: [{ items: [{ state: 'succeeded' }] }] })
  expect(client.getQueryData(['task', 'default', 'celery', 't1'])).toMatchObject({ state: 'succeeded' })
  expect(client.getQueryData(['task', 'default', 'celery', 't2'])).toMatchObject({ state: 'started' })
})

it('does not open a finished command again', () => {
  const client = new QueryClient()
  client.setQueryData(['command', 'default', 'c1'], command({ status: 'sent' }))
  applyCommands(client, [command({ status: 'succeeded', finished_at: at(2) })])
  applyCommands(client, [command({ status: 'sent' })])
  expect(client.getQueryData<Command>(['command', 'default', 'c1'])?.status).toBe('succeeded')
})
