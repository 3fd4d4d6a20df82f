import { Activity, CalendarClock, Gauge, Layers, ListChecks, Radio, Server, type LucideIcon } from 'lucide-react'

interface Page {
  to: '/' | '/tasks' | '/queues' | '/workers' | '/schedules' | '/agents' | '/activity'
  name: string
  icon: LucideIcon
}

export const PAGES: readonly Page[] = [
  { to: '/', name: 'Overview', icon: Gauge },
  { to: '/tasks', name: 'Tasks', icon: ListChecks },
  { to: '/queues', name: 'Queues', icon: Layers },
  { to: '/workers', name: 'Workers', icon: Server },
  { to: '/schedules', name: 'Schedules', icon: CalendarClock },
  { to: '/agents', name: 'Agents', icon: Radio },
  { to: '/activity', name: 'Activity', icon: Activity },
]
