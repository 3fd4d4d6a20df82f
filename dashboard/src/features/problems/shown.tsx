import { useNavigate, useSearch } from '@tanstack/react-router'
import type { Seeking } from '../../components/ui/findable'
import { Segments } from '../../components/ui/segments'

const SHOWN = [
  { value: 'all', text: 'All' },
  { value: 'attention', text: 'Needs attention' },
] as const
type Show = (typeof SHOWN)[number]['value']

interface Shown {
  show: Show
  onShow: (show: Show) => void
  seeking: Seeking
}

/** What the address says a page of agents, queues or workers shows: all of them or those with a problem, and what is sought. */
export function useShown(page: '/agents' | '/queues' | '/workers'): Shown {
  const { show = 'all', find = '' } = useSearch({ from: page })
  const navigate = useNavigate({ from: page })
  return {
    show,
    onShow: (next) => void navigate({ to: page, search: { show: next === 'all' ? undefined : next } }),
    seeking: { sought: find, onSeek: (sought) => void navigate({ to: page, search: { show: show === 'all' ? undefined : show, find: sought || undefined }, replace: true }) },
  }
}

export function ShownChoice({ noun, shown: { show, onShow } }: { noun: string; shown: Shown }) {
  return <Segments label={`Which ${noun}s`} options={SHOWN} value={show} onChange={onShow} />
}
