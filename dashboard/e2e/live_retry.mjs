// Sees a failed task appear live in the list, opens it, retries it, and follows the link to the new task. Picks that one in the list,
// and makes a bulk job of it. Then reads why another one waits, asks the workers about it, and follows what the overview says of its queue.
// The end-to-end test starts it with a sign-in link, sends the tasks when this says so, and reads what was seen.
import readline from 'node:readline'
import { openBrowser } from './browser.mjs'

const link = process.argv[2]
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

const { browser, page, problems } = await openBrowser()
try {
  await page.goto(link)
  await page.goto(new URL('/tasks', link).href)
  await page.locator('[data-testid="live-mark"][data-live="live"]').waitFor()
  say({ step: 'ready' })

  const { task_id: taskId } = JSON.parse((await lines.next()).value)
  const row = page.locator(`[data-testid="task-row"][data-task-id="${taskId}"]`)
  await row.waitFor()
  await page.locator(`[data-testid="task-row"][data-task-id="${taskId}"][data-state="failed"]`).waitFor()
  say({ step: 'seen' })

  await page.goto(new URL(`/tasks/celery/${taskId}`, link).href)
  await page.getByText('card declined for order 17').first().waitFor()
  await page.getByRole('button', { name: 'Retry', exact: true }).first().click()
  const confirm = page.getByRole('dialog').getByRole('button', { name: /^Retry/ })
  const outcome = page.locator('[data-testid="command-outcome"][data-status="succeeded"]')
  await confirm.or(outcome).first().waitFor()
  if (await confirm.isVisible()) await confirm.click()
  await outcome.waitFor()
  const newTask = page.locator('[data-testid="new-task-link"]').first()
  const href = await newTask.getAttribute('href')
  await newTask.click()
  await page.waitForURL((url) => url.pathname !== `/tasks/celery/${taskId}`)
  await page.locator('[data-testid="task-headline"][data-state="failed"]').waitFor()

  await page.goto(new URL('/tasks?state=failed', link).href)
  const newId = decodeURIComponent(href.split('/').at(-1))
  await page.locator(`[data-testid="task-row"][data-task-id="${newId}"]`).getByRole('checkbox').click()
  await page.getByRole('toolbar').getByRole('button', { name: 'Retry 1 task' }).click()
  await page.getByRole('dialog').getByText('1 task is picked.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Retry 1 task' }).click()
  await page.locator('[data-testid="bulk-job"][data-state="finished"]').waitFor()
  await page.getByText('Asked for was 1 picked task.').waitFor()
  say({ step: 'retried', new_task: href })

  const { task_id: waiting } = JSON.parse((await lines.next()).value)
  await page.goto(new URL(`/tasks/celery/${waiting}`, link).href)
  await page.locator('[data-testid="why-reason"][data-code="queue_unconsumed"]').waitFor()
  await page.getByRole('button', { name: 'Ask the workers now' }).click()
  await page.locator('[data-testid="why-inquiry"]').getByText('Found in its queue').waitFor()
  await page.goto(new URL('/', link).href)
  await page.getByRole('link', { name: 'No worker consumes forgotten' }).click()
  await page.locator('[data-testid="row-problem"]').getByText('Nothing consumes this queue').waitFor()
  say({ step: 'explained', problems })
} finally {
  await browser.close()
}
process.exit(0)
