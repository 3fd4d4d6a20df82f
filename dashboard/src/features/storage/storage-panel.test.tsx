import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render, screen } from '@testing-library/react'
import { expect, it, vi } from 'vitest'
import { storageQuery } from '../../api/queries'
import { at, storage } from '../../test-fixtures'
import type { Storage } from '../../api/types'
import { StoragePanel } from './storage-panel'

vi.mock('../../lib/session', () => ({ useProject: () => 'default' }))

function show(data: Storage) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } })
  client.setQueryData(storageQuery('default').queryKey, data)
  render(
    <QueryClientProvider client={client}>
      <StoragePanel />
    </QueryClientProvider>,
  )
}

it('shows size, horizon and reach, and a dash where there is nothing', () => {
  show(storage({ kept: [{ what: 'failures', keep_seconds: 90 * 86400, horizon: at(-90 * 86400), oldest: null }] }))
  expect(screen.getByText('2.0 GiB')).toBeDefined()
  expect(screen.getByRole('row', { name: 'Failed, lost, rejected and open tasks 90 days —' })).toBeDefined()
  expect(screen.queryByText(/limit in force/)).toBeNull()
})

it('says when the size is the limit in force', () => {
  show(storage({ limited_by_size: true, max_bytes: 2 * 1024 ** 3 }))
  expect(screen.getByText(/of at most 2.0 GiB/)).toBeDefined()
  expect(screen.getByText(/The size is the limit in force/)).toBeDefined()
})
