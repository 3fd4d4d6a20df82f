import type { ReactElement } from 'react'
import { Link } from '@tanstack/react-router'
import { Empty } from '../components/ui/notice'

export function NotFound(): ReactElement {
  return (
    <Empty title="There is no page at this address">
      <Link to="/" className="underline">
        Go to the overview
      </Link>
    </Empty>
  )
}
