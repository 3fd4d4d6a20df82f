import clsx from 'clsx'
import type { ReactNode } from 'react'

export interface Column<T> {
  head: string
  /** What the column means, on hover. */
  hint?: string
  right?: boolean
  /** Says what it is by itself, also without its head. */
  unnamed?: boolean
  /** Left out on narrow screens. */
  wideOnly?: boolean
  cell: (row: T) => ReactNode
}

/** A plain table for the short lists; on a phone every row is a small card that names its values. */
export function Table<T>({ label, columns, rows, rowKey }: { label: string; columns: readonly Column<T>[]; rows: readonly T[]; rowKey: (row: T) => string }) {
  const cellClass = (column: Column<T>) => clsx('px-3 py-1.5 max-sm:p-0', column.right && 'sm:text-right sm:whitespace-nowrap', column.wideOnly && 'max-md:hidden')
  return (
    // The roles are said because a table that is laid out as blocks loses them.
    <table role="table" aria-label={label} className="w-full text-sm max-sm:block">
      <thead className="max-sm:sr-only">
        <tr role="row" className="border-b border-line text-left text-xs text-muted">
          {columns.map((column) => (
            <th key={column.head} role="columnheader" scope="col" title={column.hint} className={clsx(cellClass(column), 'font-medium')}>
              {column.head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup" className="max-sm:block">
        {rows.map((row) => (
          <tr key={rowKey(row)} role="row" className="border-b border-line last:border-0 hover:bg-raised max-sm:flex max-sm:flex-wrap max-sm:items-center max-sm:gap-x-4 max-sm:gap-y-0.5 max-sm:px-3 max-sm:py-2">
            {columns.map((column, index) => (
              <td key={column.head} role="cell" className={clsx(cellClass(column), index === 0 && 'max-sm:w-full')}>
                {index > 0 && !column.unnamed && (
                  <span aria-hidden className="text-xs text-muted sm:hidden">
                    {column.head}{' '}
                  </span>
                )}
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
