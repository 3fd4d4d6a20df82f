import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router'
import { basePath } from '../api/client'
import { NotFound } from './not-found'
import { PageCrashed } from './page-crashed'
import { Root } from './root'
import { fleetSearch, overviewSearch, parseSearch, schedulesSearch, stringifySearch, taskSearch, tasksSearch } from './search'

const rootRoute = createRootRoute({ component: Root, notFoundComponent: NotFound })
const getParentRoute = () => rootRoute

const overview = createRoute({
  getParentRoute,
  path: '/',
  validateSearch: overviewSearch,
  component: lazyRouteComponent(() => import('../features/overview/overview-page'), 'OverviewPage'),
})
const tasks = createRoute({
  getParentRoute,
  path: '/tasks',
  validateSearch: tasksSearch,
  component: lazyRouteComponent(() => import('../features/tasks/tasks-page'), 'TasksPage'),
})
const task = createRoute({
  getParentRoute,
  path: '/tasks/$engine/$taskId',
  validateSearch: taskSearch,
  component: lazyRouteComponent(() => import('../features/task/task-page'), 'TaskPage'),
})
const queues = createRoute({
  getParentRoute,
  path: '/queues',
  validateSearch: fleetSearch,
  component: lazyRouteComponent(() => import('../features/queues/queues-page'), 'QueuesPage'),
})
const workers = createRoute({
  getParentRoute,
  path: '/workers',
  validateSearch: fleetSearch,
  component: lazyRouteComponent(() => import('../features/workers/workers-page'), 'WorkersPage'),
})
const schedules = createRoute({
  getParentRoute,
  path: '/schedules',
  validateSearch: schedulesSearch,
  component: lazyRouteComponent(() => import('../features/schedules/schedules-page'), 'SchedulesPage'),
})
const schedule = createRoute({
  getParentRoute,
  path: '/schedules/$scheduler/$id',
  component: lazyRouteComponent(() => import('../features/schedules/schedule-page'), 'SchedulePage'),
})
const agents = createRoute({
  getParentRoute,
  path: '/agents',
  validateSearch: fleetSearch,
  component: lazyRouteComponent(() => import('../features/agents/agents-page'), 'AgentsPage'),
})
const activity = createRoute({ getParentRoute, path: '/activity', component: lazyRouteComponent(() => import('../features/activity/activity-page'), 'ActivityPage') })

const bulkJob = createRoute({ getParentRoute, path: '/bulk/$jobId', component: lazyRouteComponent(() => import('../features/bulk/job-page'), 'BulkJobPage') })

const routeTree = rootRoute.addChildren([overview, tasks, task, queues, workers, schedules, schedule, agents, activity, bulkJob])

export const router = createRouter({
  routeTree,
  basepath: basePath,
  parseSearch,
  stringifySearch,
  defaultPreload: 'intent',
  defaultErrorComponent: PageCrashed,
  scrollRestoration: false,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
