// js-libp2p and ours, each in a tab of Chromium.

import { test } from 'node:test'
import { interoperate } from './lib/suite.mjs'
import { startInterop } from './lib/world.mjs'

const LIMIT = { timeout: 120_000 }

test('js-libp2p dials ours in Chromium', LIMIT, async t => {
  const world = await startInterop(t, ['chromium'])
  await interoperate(t, await world.peer('chromium', 'js'), await world.peer('chromium', 'ours', { listen: true }))
})

test('ours dials js-libp2p in Chromium', LIMIT, async t => {
  const world = await startInterop(t, ['chromium'])
  await interoperate(t, await world.peer('chromium', 'ours'), await world.peer('chromium', 'js', { listen: true }), { patient: true })
})
