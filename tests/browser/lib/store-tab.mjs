// Tabs with the package and nothing else, for tests of what browsers keep.

import { launch } from './chromium.mjs'
import { serve } from './server.mjs'

// A Chromium with a tab, which ends with test `t`; `open` opens more of the same origin. `init` is run in each of them first.
export async function start(t, init) {
  const server = await serve()
  t.after(() => server.close())
  const browser = await launch()
  t.after(() => browser.close())
  const context = await browser.newContext()
  // What a tab rejects with comes out as its message only.
  await context.addInitScript(() => {
    globalThis.withCode = error => {
      throw new Error(`${error.code}: ${error.message}`)
    }
  })
  if (init) await context.addInitScript(init)
  const open = async () => {
    const tab = await context.newPage()
    await tab.goto(`${server.origin}/test/agent.html`)
    await ready(tab)
    return tab
  }
  return { context, open, tab: await open(), origin: server.origin }
}

const ready = tab => tab.waitForFunction(() => globalThis.neuralMesh !== undefined)

export async function reload(tab) {
  await tab.reload()
  await ready(tab)
}

export async function crash(tab) {
  const crashed = tab.waitForEvent('crash')
  tab.goto('chrome://crash').catch(() => {})
  await crashed
}
