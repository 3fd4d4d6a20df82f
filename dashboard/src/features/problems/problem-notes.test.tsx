import { render, screen } from '@testing-library/react'
import { expect, it } from 'vitest'
import type { Problem } from '../../api/types'
import { problem } from '../../test-fixtures'
import { ProblemNotes } from './problem-notes'

it('is short in its row, and says the cause and what to do on hover and below', () => {
  render(<ProblemNotes problems={[problem()]} />)
  const words = screen.getByText('Nothing consumes this queue')
  expect(words.title).toBe('34 tasks wait. Start a worker for it.')
  expect(screen.getByTestId('row-problem').textContent).toContain('Start a worker for it.')
})

it('says in full what it has no short words for', () => {
  render(<ProblemNotes problems={[problem({ kind: 'moon_phase' as Problem['kind'], title: 'The moon is full' })]} />)
  expect(screen.getByText('The moon is full')).toBeTruthy()
})
