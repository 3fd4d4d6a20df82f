// Debian's Chromium, driven by playwright-core: no download of a browser, no request beyond this machine.
import { chromium } from 'playwright-core'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** With `anyCertificate`, certificates are not looked at: overriding each fault as it comes makes Chromium give up requests now and then. */
export async function openBrowser({ anyCertificate = false } = {}) {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const browser = await chromium.launch({ executablePath, args: anyCertificate ? [...FLAGS, '--ignore-certificate-errors'] : FLAGS })
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
  // A machine that runs all tests at once is slow; what never comes fails all the same.
  context.setDefaultTimeout(180_000)
  context.setDefaultNavigationTimeout(180_000)
  const page = await context.newPage()
  const problems = []
  page.on('pageerror', (error) => problems.push(`page error: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()} ${message.location().url}`)
  })
  return { browser, page, problems }
}
