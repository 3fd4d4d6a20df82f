// Pictures of every page from a running demo: node e2e/screenshots.mjs <sign-in link> <folder>
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { openBrowser } from './browser.mjs'

const [link, folder] = process.argv.slice(2)
if (!link || !folder) throw new Error('usage: node e2e/screenshots.mjs <sign-in link> <folder>')
mkdirSync(folder, { recursive: true })

const PAGES = { overview: '/', tasks: '/tasks', failed: '/tasks?state=failed', queues: '/queues', workers: '/workers', schedules: '/schedules', agents: '/agents', activity: '/activity' }

const { browser, page, problems } = await openBrowser()
try {
  await page.goto(link)
  for (const [name, where] of Object.entries(PAGES)) {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      await page.goto(new URL(where, link).href)
      await page.locator('[data-testid="live-mark"][data-live="live"]').waitFor()
      if (name === 'tasks' || name === 'failed') {
        await page.locator('[data-testid="task-row"]').first().waitFor()
        await page.locator('[data-testid="task-row"]').nth(2).click()
      }
      await page.waitForTimeout(1200) // charts draw themselves; a picture has no condition to wait for
      await page.screenshot({ path: path.join(folder, `${name}-${colorScheme}.png`) })
    }
  }
} finally {
  await browser.close()
}
if (problems.length > 0) console.error(problems.join('\n'))
