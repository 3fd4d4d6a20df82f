import { Link } from '@tanstack/react-router'
import { CircleHelp, Search } from 'lucide-react'
import { lazy, Suspense, useEffect, useState, type ReactNode } from 'react'
import { Button } from '../components/ui/button'
import { LiveMark } from '../live/live-mark'
import { useKeys } from '../lib/keyboard'
import { AccountMenu } from './account-menu'
import { Help } from './help'
import { PAGES } from './nav'

const Palette = lazy(() => import('../features/palette/palette'))

export function Shell({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState<'help' | 'palette' | null>(null)
  useKeys({ '?': () => setOpen('help') })
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key === 'k') {
        event.preventDefault()
        setOpen('palette')
      }
    }
    window.addEventListener('keydown', listen)
    return () => window.removeEventListener('keydown', listen)
  }, [])

  return (
    <div className="flex h-full flex-col lg:flex-row">
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:z-10 focus:bg-surface focus:p-2">
        Skip to the page
      </a>
      <header className="flex shrink-0 flex-wrap items-center gap-x-2 border-line bg-surface max-lg:border-b lg:w-44 lg:flex-col lg:flex-nowrap lg:items-stretch lg:border-r lg:p-2">
        <div className="flex flex-1 items-center justify-between gap-2 px-2 py-1.5 lg:flex-none">
          <Link to="/" className="font-semibold tracking-tight">
            Taskplane
          </Link>
        </div>
        <nav aria-label="Pages" className="order-last flex w-full overflow-x-auto px-1 pb-1 lg:order-none lg:flex-col lg:gap-0.5 lg:p-0">
          {PAGES.map(({ to, name, icon: Icon }) => (
            <Link
              key={to}
              to={to}
              activeOptions={{ exact: to === '/', includeSearch: false }}
              className="flex items-center gap-2 rounded-md px-2 py-1 text-sm whitespace-nowrap text-muted hover:bg-raised hover:text-ink aria-[current=page]:bg-tint aria-[current=page]:font-medium aria-[current=page]:text-ink"
            >
              <Icon aria-hidden size={15} className="max-sm:hidden" />
              {name}
            </Link>
          ))}
        </nav>
        <div className="flex items-center gap-0.5 px-1 py-1 lg:mt-auto lg:flex-col lg:items-stretch lg:px-0">
          <div className="flex items-center lg:mb-1">
            <Button look="quiet" aria-label="Go to…" title="Go to a page or a task (⌘K)" onClick={() => setOpen('palette')}>
              <Search aria-hidden size={15} />
            </Button>
            <Button look="quiet" aria-label="Help" title="Keyboard and words (?)" onClick={() => setOpen('help')}>
              <CircleHelp aria-hidden size={15} />
            </Button>
            <AccountMenu />
          </div>
          <LiveMark />
        </div>
      </header>
      <main id="main" tabIndex={-1} className="min-h-0 min-w-0 flex-1 overflow-y-auto outline-none">
        {children}
      </main>
      {open === 'help' && <Help onClose={() => setOpen(null)} />}
      {open === 'palette' && (
        <Suspense>
          <Palette onClose={() => setOpen(null)} />
        </Suspense>
      )}
    </div>
  )
}
