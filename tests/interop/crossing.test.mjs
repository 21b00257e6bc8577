// js-libp2p and ours, one in a tab of Chromium and one in a Node.js process.

import { test } from 'node:test'
import { interoperate } from './lib/suite.mjs'
import { startInterop } from './lib/world.mjs'

const LIMIT = { timeout: 120_000 }

for (const [dialer, listener] of [['chromium', 'node'], ['node', 'chromium']]) {
  for (const [one, other] of [['js', 'ours'], ['ours', 'js']]) {
    test(`${one} in ${dialer} dials ${other} in ${listener}`, LIMIT, async t => {
      const world = await startInterop(t, ['node', 'chromium'])
      await interoperate(t, await world.peer(dialer, one), await world.peer(listener, other, { listen: true }))
    })
  }
}
