import { describe, expect, it } from 'vitest'
import type { TaskDetail, TaskPage } from '../api/types'
import { at, page, task } from '../test-fixtures'
import { insertNew, mergeHead, patchDetail, patchRows, rows, taskKey, type TaskList } from './merge'

const numbered = (n: number, fields = {}) => task({ task_id: `t${n}`, first_seen_at: at(n), ...fields })
const list = (numbers: number[], next: string | null = null): TaskList => ({ pages: [page(numbers.map((n) => numbered(n)), next)], pageParams: [undefined] })
const keys = (value: TaskList) => new Set(rows(value).map(taskKey))
const ids = (value: TaskList) => rows(value).map((row) => row.task_id)

describe('patchRows', () => {
  it('takes newer versions only', () => {
    const before = list([2, 1])
    const after = patchRows(before, [numbered(1, { state: 'failed', updated_at: at(5) }), numbered(2, { state: 'failed', updated_at: at(-5) })])
    expect(rows(after).map((row) => row.state)).toEqual(['started', 'failed'])
  })
  it('leaves the list alone when nothing in it changed, so that nothing is drawn again', () => {
    const before = list([2, 1])
    expect(patchRows(before, [numbered(9, { updated_at: at(5) })])).toBe(before)
  })
})

describe('mergeHead', () => {
  const merge = (before: TaskList, head: TaskPage) => mergeHead(before, head, keys(before))

  it('puts new rows first and keeps what was loaded below', () => {
    const merged = merge(list([4, 3, 2, 1], 'after-1'), page([numbered(6), numbered(5), numbered(4), numbered(3)], 'after-3'))
    expect(ids(merged)).toEqual(['t6', 't5', 't4', 't3', 't2', 't1'])
    expect(merged.pages.at(-1)?.next_cursor).toBe('after-1')
  })
  it('drops rows within the head that match no more', () => {
    expect(ids(merge(list([4, 3, 2, 1], 'x'), page([numbered(5), numbered(3)], 'y')))).toEqual(['t5', 't3', 't2', 't1'])
  })
  it('begins again when head and list do not touch', () => {
    const merged = merge(list([4, 3], 'x'), page([numbered(90), numbered(89)], 'y'))
    expect(ids(merged)).toEqual(['t90', 't89'])
    expect(merged.pages.at(-1)?.next_cursor).toBe('y')
  })
  it('is the head when there is nothing after it', () => expect(ids(merge(list([4, 3, 2]), page([numbered(3)])))).toEqual(['t3']))
  it('keeps what arrived while the head was on its way', () => {
    const before = list([3, 2, 1], 'x')
    const now = insertNew(before, [numbered(4)])
    expect(ids(mergeHead(now, page([numbered(3), numbered(2)], 'y'), keys(before)))).toEqual(['t4', 't3', 't2', 't1'])
  })
  it('does not take a row back to an older version', () => {
    const before = patchRows(list([2, 1]), [numbered(2, { state: 'failed', updated_at: at(9) })])
    expect(rows(merge(before, page([numbered(2), numbered(1)])))[0]?.state).toBe('failed')
  })
})

describe('insertNew', () => {
  it('puts tasks where they belong', () => expect(ids(insertNew(list([5, 3, 1], 'x'), [numbered(4), numbered(6)]))).toEqual(['t6', 't5', 't4', 't3', 't1']))
  it('does not guess beyond what is loaded', () => expect(ids(insertNew(list([5, 3], 'x'), [numbered(1)]))).toEqual(['t5', 't3']))
  it('begins an empty list', () => expect(ids(insertNew(list([]), [numbered(1)]))).toEqual(['t1']))
  it('ignores what is there already', () => {
    const before = list([5])
    expect(insertNew(before, [numbered(5)])).toBe(before)
  })
})

it('patches a detail without losing its attempts', () => {
  const detail: TaskDetail = { ...task(), attempts: [{ attempt: 0, state: 'started', starts: [] }], timeline: [] }
  const patched = patchDetail(detail, task({ state: 'succeeded', updated_at: at(3) }))
  expect(patched.state).toBe('succeeded')
  expect(patched.attempts).toHaveLength(1)
  expect(patchDetail(patched, task({ state: 'started', updated_at: at(1) }))).toBe(patched)
})
