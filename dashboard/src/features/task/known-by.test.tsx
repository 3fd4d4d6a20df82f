import { render, screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import type { TimelineEntry } from '../../api/types'
import { AT, at } from '../../test-fixtures'
import { StateKnownBy, stateKnownBy } from './known-by'
import { TimelineView } from './timeline-view'

const started: TimelineEntry = { event: 'task_started', ts: AT }
const found: TimelineEntry = { event: 'task_succeeded', ts: at(2), known_by: 'result_backend' }

it('the timeline says how a fact is known that no event told', () => {
  render(<TimelineView entries={[started, found, { event: 'task_lost', ts: at(3), known_by: 'way_of_tomorrow' }]} />)
  expect(screen.getByText('from the result backend').title).toBe('No event of the task told this: it was found in the result backend.')
  expect(screen.getByText('known by way of tomorrow')).toBeTruthy()
  expect(screen.getAllByRole('listitem')[0]?.textContent).not.toContain('known')
})

it('a task is marked when its last entry is known only that way', () => {
  expect(stateKnownBy([started, found])).toBe('result_backend')
  expect(stateKnownBy([found, started])).toBeNull()
  expect(stateKnownBy([])).toBeNull()
})

it.each([
  ['result_backend', 'known from the result backend'],
  ['result_channel', 'known from the result channel'],
  ['inspection', 'told by the worker when asked'],
])('%s is "%s"', (way, words) => {
  render(<StateKnownBy way={way} />)
  expect(screen.getByTestId('state-known-by').textContent).toBe(words)
})
