import clsx from 'clsx'
import type { ButtonHTMLAttributes } from 'react'

const looks = {
  plain: 'border-line bg-surface hover:bg-raised',
  primary: 'border-accent bg-accent text-on-accent hover:opacity-90',
  danger: 'border-bad text-bad bg-surface hover:bg-raised',
  quiet: 'border-transparent hover:bg-raised',
} as const

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: keyof typeof looks
  /** Why it cannot be used now; the button is disabled and says so. */
  reason?: string | undefined
}

export function Button({ look = 'plain', reason, className, title, disabled, onClick, ...rest }: Props) {
  const off = disabled === true || reason !== undefined
  return (
    <button
      type="button"
      {...rest}
      // Not `disabled`: a disabled button takes no focus, and then nobody can read why.
      aria-disabled={off || undefined}
      title={reason ?? title}
      onClick={off ? (event) => event.preventDefault() : onClick}
      className={clsx(
        'inline-flex items-center justify-center gap-1.5 rounded-md border px-2.5 py-1 text-sm font-medium whitespace-nowrap',
        looks[look],
        off && 'cursor-not-allowed! opacity-50',
        className,
      )}
    />
  )
}
