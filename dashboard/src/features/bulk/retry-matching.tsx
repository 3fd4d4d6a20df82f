import type { ReactElement } from 'react'
import type { TaskFilter } from '../../api/types'
import { RetryDialog } from './retry-dialog'

/** Asks before everything that matches is retried. */
export function RetryMatching({ filter, onClose }: { filter: TaskFilter; onClose: () => void }): ReactElement {
  return <RetryDialog wanted={{ filter, include: [] }} title="Retry all that match?" nothing="Nothing that matches can be retried." onClose={onClose} />
}
