import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { problemsQuery } from '../../api/problems'
import type { Problem } from '../../api/types'
import { useProject } from '../../lib/session'

const NONE: readonly Problem[] = []
/** Their row says it by itself, in its state. */
const SAID: ReadonlySet<string> = new Set(['worker_offline', 'worker_silent'])

export interface ProblemsOf {
  /** False while the brain has not said what is wrong. */
  known: boolean
  /** Everything that is wrong with it. */
  all: (engine: string | null, name: string) => readonly Problem[]
  /** What its row does not say already. */
  notes: (engine: string | null, name: string) => readonly Problem[]
}

/** What is wrong with the workers or queues, each by its engine and name; with agents by their name alone. */
export function useProblemsOf(type: 'agent' | 'worker' | 'queue'): ProblemsOf {
  const { data } = useQuery(problemsQuery(useProject()))
  return useMemo(() => {
    const key = (engine: string | null | undefined, name: string) => (type === 'agent' ? name : `${engine ?? ''}/${name}`)
    const found = new Map<string, Problem[]>()
    for (const problem of data?.items ?? NONE) {
      const { subject } = problem
      if (subject.type !== type) continue
      const known = found.get(key(subject.engine, subject.name))
      if (known) known.push(problem)
      else found.set(key(subject.engine, subject.name), [problem])
    }
    const all: ProblemsOf['all'] = (engine, name) => found.get(key(engine, name)) ?? NONE
    return { known: data !== undefined, all, notes: (engine, name) => all(engine, name).filter(({ kind }) => !SAID.has(kind)) }
  }, [data, type])
}
