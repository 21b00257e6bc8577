// Step: a Chromium for the tests that need a browser. Whatever is there will do; else Debian's package, where we may
// install. Playwright's own download is not used: it fetches a browser from outside of every package registry.

import { findChromium } from '../lib/chromium.mjs'
import { Stop } from '../lib/print.mjs'
import { ask } from '../lib/run.mjs'
import { apt, canInstallDebian } from './debian.mjs'

const next = 'apt-get install chromium, or install Chrome or Chromium otherwise and name its program in CHROMIUM'

export const chromiumStep = {
  name: 'chromium',
  done() {
    const path = findChromium()
    if (path === undefined) return undefined
    const version = ask(path, ['--version'])
    if (version === undefined) throw new Stop(`${path} --version failed, so it is no usable browser`, next)
    return `${version} (${path})`
  },
  how: () => 'apt-get install chromium (about 1 min)',
  async act() {
    if (process.env.CHROMIUM) throw new Stop(`CHROMIUM is ${process.env.CHROMIUM}, where there is nothing`, next)
    if (!canInstallDebian()) throw new Stop('there is no Chromium here for the tests that need a browser', next)
    try {
      await apt('update')
      await apt('install', '-y', '--no-install-recommends', 'chromium')
    } catch (error) {
      throw new Stop(error.message, next, error.output)
    }
  },
}
