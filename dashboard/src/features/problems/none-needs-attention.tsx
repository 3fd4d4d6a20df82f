import { Link } from '@tanstack/react-router'
import { Empty } from '../../components/ui/notice'
import { plural } from '../../lib/format'
import type { Place } from './told'

/** All of them are well, and the page was asked for those that are not. */
export function NoneNeedsAttention({ total, noun, page }: { total: number; noun: string; page: Place['to'] }) {
  return (
    <Empty title={`No ${noun} needs attention`}>
      {plural(total, noun)} {total === 1 ? 'is' : 'are'} known.{' '}
      <Link to={page} search={{}} className="underline">
        Show all
      </Link>
    </Empty>
  )
}
