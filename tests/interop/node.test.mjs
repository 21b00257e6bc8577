// js-libp2p and ours, each in a Node.js process, over node-datachannel.

import { test } from 'node:test'
import { interoperate } from './lib/suite.mjs'
import { startInterop } from './lib/world.mjs'

const LIMIT = { timeout: 90_000 }

test('js-libp2p dials ours in Node.js', LIMIT, async t => {
  const world = await startInterop(t, ['node'])
  await interoperate(t, await world.peer('node', 'js'), await world.peer('node', 'ours', { listen: true }))
})

test('ours dials js-libp2p in Node.js', LIMIT, async t => {
  const world = await startInterop(t, ['node'])
  await interoperate(t, await world.peer('node', 'ours'), await world.peer('node', 'js', { listen: true }))
})
