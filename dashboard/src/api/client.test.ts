import { afterEach, beforeEach, expect, it, vi } from 'vitest'

const base = document.createElement('base')

beforeEach(() => vi.resetModules())
afterEach(() => base.remove())

async function below(href: string) {
  base.setAttribute('href', href)
  document.head.append(base)
  return import('./client')
}

it('asks the brain below the base of the page', async () => {
  const { basePath, baseUrl, client } = await below('/ops/tasks/')
  expect({ basePath, baseUrl }).toEqual({ basePath: '/ops/tasks/', baseUrl: `${window.location.origin}/ops/tasks` })
  const asked: string[] = []
  vi.stubGlobal('fetch', (request: Request) => {
    asked.push(new URL(request.url).pathname)
    return Promise.resolve(new Response('{}', { headers: { 'content-type': 'application/json' } }))
  })
  await client.GET('/api/v1/session')
  expect(asked).toEqual(['/ops/tasks/api/v1/session'])
})

it('asks at the root where the page is there', async () => {
  const { basePath, baseUrl } = await below('/')
  expect({ basePath, baseUrl }).toEqual({ basePath: '/', baseUrl: window.location.origin })
})
