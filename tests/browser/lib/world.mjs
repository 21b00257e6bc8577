// What one test has at hand: a real relay and agents in Node.js (those of tests/e2e), a server for pages, and a Chromium
// whose every tab is watched. All of it ends with the test, and the test fails when a tab complained.

import assert from 'node:assert/strict'
import { startMesh } from '../../e2e/lib/mesh.mjs'
import { BrowserAgent } from './agent.mjs'
import { launch } from './chromium.mjs'
import { MeshPage } from './page.mjs'
import { serve } from './server.mjs'
import { Watch } from './watch.mjs'

export { until } from '../../e2e/lib/until.mjs'

// An `init` for tabs where everything has to go through the relay.
export const withoutWebRtc = () => delete globalThis.RTCPeerConnection

// Starts everything for test `t`. What else is given is for `launch`.
export async function startWorld(t, { mesh = 'browser', listen, charter, ui, ...browser } = {}) {
  const ends = []
  const e2e = await startMesh({ after: end => ends.push(end) }, { mesh, listen, charter, ui })
  const server = await serve()
  ends.push(() => server.close())
  const world = new World(e2e, server)
  t.after(async () => {
    await world.browser?.close()
    for (const end of ends.reverse()) await end()
    assert.deepEqual(world.complaints, [], 'no tab complained')
  })
  world.browser = await launch(browser)
  return world
}

class World {
  browser
  #watches = []

  constructor(e2e, server) {
    this.e2e = e2e
    this.server = server
  }

  get relay() {
    return this.e2e.relay
  }

  get mesh() {
    return this.e2e.mesh
  }

  // The fragment that invites into this mesh.
  get invitation() {
    const { charter } = this.e2e
    return `#m=${this.mesh}&r=${this.relay.address}${charter ? `&c=${Buffer.from(charter).toString('base64url')}` : ''}`
  }

  // What tabs complained of so far and was not expected.
  get complaints() {
    return this.#watches.flatMap(watch => watch.complaints)
  }

  // What tabs asked the network for so far.
  get requests() {
    return this.#watches.flatMap(watch => watch.requests)
  }

  // A tab at a path of the server, of its own context or `within` a given one. `expect`: patterns of complaints that belong
  // to the test.
  async tab(path, { expect = [], init, within, ...context } = {}) {
    const opened = within ?? (await this.browser.newContext({ locale: 'en-GB', ...context }))
    if (init) await opened.addInitScript(init)
    const tab = await opened.newPage()
    const watch = new Watch(tab, expect)
    this.#watches.push(watch)
    await tab.goto(this.server.origin + path)
    return { tab, watch }
  }

  // The page in a tab, not joined. `fragment` is what stands behind # in its address.
  async page({ fragment = '', ...options } = {}) {
    const { tab, watch } = await this.tab(`/${fragment}`, options)
    return new MeshPage(this, tab, watch)
  }

  // The page in a tab, joined as `name` by following a link.
  async joinedPage(name, { capabilities, ...options } = {}) {
    const page = await this.page({ fragment: this.invitation, ...options })
    await page.join({ name, capabilities })
    return page
  }

  // An agent in a tab without the page: the package as it is, to be used by code of the test. Joined with `agent`.
  async browserAgent(agent, { join, ...options } = {}) {
    const { tab, watch } = await this.tab('/test/agent.html', options)
    const browserAgent = new BrowserAgent(this, tab, watch)
    await browserAgent.join(agent, join)
    return browserAgent
  }

  // An agent in a Node.js process.
  nodeAgent(names, options) {
    return this.e2e.agent(names, options)
  }
}
