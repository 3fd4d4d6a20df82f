import createClient from 'openapi-fetch'
import type { paths } from './schema.gen'
import type { ProblemDocument } from './types'

/** The brain's own origin and path prefix, without a trailing slash. */
export const baseUrl = new URL('.', document.baseURI).href.replace(/\/$/, '')
export const basePath = new URL('.', document.baseURI).pathname

// fetch is looked up per call so that tests can replace it.
export const client = createClient<paths>({ baseUrl, fetch: (request) => globalThis.fetch(request) })

/** What the brain answered when it did not do what was asked (RFC 9457). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly code: string | null,
  ) {
    super(detail || title)
    this.name = 'ApiError'
  }
}

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The data of an answer, or an ApiError that carries the problem document. */
export async function unwrap<T>(pending: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await pending
  if (response.ok) return data as T
  const problem: Partial<ProblemDocument> = typeof error === 'object' && error !== null ? error : {}
  throw new ApiError(response.status, problem.title ?? response.statusText, problem.detail ?? '', problem.code ?? null)
}

/** One sentence about anything that went wrong with a call. */
export function explain(error: unknown): string {
  if (error instanceof ApiError) return error.detail || error.title || `The brain answered with status ${error.status}.`
  return 'The brain cannot be reached. This page tries again by itself.'
}
