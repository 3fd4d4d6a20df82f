// Sees a failed task appear live in the list, opens it, retries it, and follows the link to the new task.
// The end-to-end test starts it with a sign-in link, sends the task once this says "ready", and reads what was seen.
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
  say({ step: 'retried', new_task: href, problems })
} finally {
  await browser.close()
}
process.exit(0)
