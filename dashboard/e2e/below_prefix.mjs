// Signs in below a path of a reverse proxy with TLS, sees the live stream run and a task appear, and opens it afresh.
// The end-to-end test starts it with a setting, sends the task once this says "live", and reads what was seen.
import readline from 'node:readline'
import { openBrowser } from './browser.mjs'
import { startReverseProxy } from './reverse_proxy.mjs'

const setting = JSON.parse(process.argv[2])
const { link, prefix } = setting
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

const proxy = await startReverseProxy(setting)
const { browser, page, problems } = await openBrowser({ anyCertificate: true })
const strays = []
page.on('request', (request) => {
  const url = new URL(request.url())
  if (url.protocol.startsWith('http') && !url.pathname.startsWith(`${prefix}/`)) strays.push(request.url())
})
try {
  await page.goto(link)
  await page.waitForURL((url) => url.pathname === `${prefix}/`)
  await page.getByRole('link', { name: 'Tasks', exact: true }).first().click()
  await page.waitForURL((url) => url.pathname === `${prefix}/tasks`)
  await page.locator('[data-testid="live-mark"][data-live="live"]').waitFor()
  const [cookie] = await page.context().cookies()
  say({ step: 'live' })

  const { task_id: taskId } = JSON.parse((await lines.next()).value)
  await page.locator(`[data-testid="task-row"][data-task-id="${taskId}"][data-state="failed"]`).waitFor()
  await page.goto(new URL(`${prefix}/tasks/celery/${taskId}`, link).href)
  await page.getByText('card declined for order 17').first().waitFor()
  say({ step: 'seen', problems, strays, cookie: { path: cookie.path, secure: cookie.secure } })
} finally {
  await browser.close()
  proxy.close()
}
process.exit(0)
