// A Chromium for a test: launched without anything on the screen, and closed with everything it opened.

import { chromium } from 'playwright-core'
import { findChromium } from '../../../scripts/lib/chromium.mjs'

// What keeps it from talking to anybody but the page under test, and from asking for a graphics card.
const FLAGS = [
  ...['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
]

// Playwright turns the back/forward cache off; `bfcache` leaves it as users have it.
/** @param {{ args?: string[], bfcache?: boolean }} [options] */
export function launch({ args = [], bfcache = false } = {}) {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error('there is no Chromium: node scripts/setup.mjs --browser')
  const ignoreDefaultArgs = bfcache ? ['--disable-back-forward-cache'] : []
  return chromium.launch({ executablePath, headless: true, chromiumSandbox: false, args: [...FLAGS, ...args], ignoreDefaultArgs })
}
