import clsx from 'clsx'
import { CircleAlert, TriangleAlert } from 'lucide-react'
import type { Problem } from '../../api/types'

export function SeverityIcon({ severity, size = 16, className }: { severity: Problem['severity']; size?: number; className?: string }) {
  return severity === 'error' ? (
    <CircleAlert role="img" aria-label="Problem" size={size} className={clsx('shrink-0 text-bad', className)} />
  ) : (
    <TriangleAlert role="img" aria-label="Warning" size={size} className={clsx('shrink-0 text-warn', className)} />
  )
}
