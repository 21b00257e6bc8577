// What happens to pages: reloads, second tabs, closing, freezing, losing the network, going back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { knows, seen } from '../e2e/lib/mesh.mjs'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 90_000 }
const BACK_MS = 10_000
// What Chromium writes down while the relay cannot be reached.
const AWAY = { expect: [/WebSocket connection to .* failed/, /ERR_INTERNET_DISCONNECTED/] }

test('a reloaded tab is the same node, and each tab of an origin is one of its own', LIMIT, async t => {
  const world = await startWorld(t)
  const context = await world.browser.newContext()
  const [first, second] = [await open(world, context), await open(world, context)]
  const [ada, bob] = [await join(world, first, 'ada'), await join(world, second, 'bob')]
  assert.notEqual(ada, bob)

  await Promise.all([first.reload(), second.reload()])
  assert.equal(await join(world, second, 'bob'), bob)
  assert.equal(await join(world, first, 'ada'), ada)

  const third = await open(world, context)
  const carol = await join(world, third, 'carol')
  assert.ok(![ada, bob].includes(carol), 'both are in use')
  await first.close()
  const fourth = await open(world, context)
  assert.equal(await join(world, fourth, 'ada'), ada, 'what is free is taken again')

  await second.evaluate(() => mesh.close())
  assert.equal(await join(world, second, 'bob'), bob, 'closing frees it')
})

test('closing a tab is noticed everywhere within 10 s', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.browserAgent({ id: 'ada' })
  const bob = await world.browserAgent({ id: 'bob' })
  const nora = await world.nodeAgent('nora')
  await Promise.all([knows(nora, [ada.id, bob.id]), ada.until(ids => mesh.agents.list().then(list => list.length > 2))])
  const closed = performance.now()
  await bob.close()
  const left = Promise.race([seen(nora, 'agent-left', { id: bob.id }), seen(nora, 'peer-suspected', { peerId: bob.peerId })])
  const gone = ({ id, peerId }) => log.events.some(event => {
    return (event.type === 'agent-left' && event.id === id) || (event.type === 'peer-suspected' && event.peerId === peerId)
  })
  await Promise.all([left, ada.until(gone, { id: bob.id, peerId: bob.peerId })])
  const took = Math.round(performance.now() - closed)
  t.diagnostic(`noticed by all after ${took} ms`)
  assert.ok(took < BACK_MS, `noticed after ${took} ms`)
})

test('a tab that was frozen while the relay was restarted is back within 10 s of waking', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.browserAgent({ id: 'ada' }, AWAY)
  const nora = await world.nodeAgent('nora')
  await knows(nora, [ada.id])
  const lifecycle = await ada.tab.context().newCDPSession(ada.tab)
  await lifecycle.send('Page.setWebLifecycleState', { state: 'frozen' })
  await world.relay.kill()
  await world.e2e.startRelay()
  await seen(nora, 'relay-disconnected')
  await knows(nora, [])
  const woken = performance.now()
  await lifecycle.send('Page.setWebLifecycleState', { state: 'active' })
  await nora.run(({ mesh }, to) => mesh.send(to, 'good morning', { timeoutMs: 30_000 }), ada.id)
  const took = Math.round(performance.now() - woken)
  t.diagnostic(`reached ${took} ms after it woke`)
  assert.ok(took < BACK_MS, `reached after ${took} ms`)
})

test('a hidden tab, whose timers run once a minute, is heard and hears', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.browserAgent({ id: 'ada' }, { init: throttleTimers })
  const nora = await world.nodeAgent('nora')
  await knows(nora, [ada.id])
  const began = performance.now()
  // Longer than a silent node goes unsuspected.
  while (performance.now() - began < 12_000) {
    await nora.run(({ mesh }, to) => mesh.send(to, 'are you there?', { timeoutMs: 5_000 }), ada.id)
    await ada.run(() => mesh.broadcast('I am'))
    await nora.run(({ log, state, until }) => until(() => log.broadcasts.length > (state.heard ?? 0), { limitMs: 5_000 }).then(() => (state.heard = log.broadcasts.length)))
    await nora.run(() => new Promise(resolve => setTimeout(resolve, 3_000)))
  }
  const events = await nora.run(({ log }) => log.events.map(event => event.type))
  assert.ok(!events.includes('peer-suspected'), 'it is never suspected')
})

// What Chromium does to a tab that was hidden for five minutes. It stays visible in a test.
function throttleTimers() {
  const { setTimeout: real } = globalThis
  globalThis.setTimeout = (callback, delay, ...args) => real(callback, Math.max(delay ?? 0, 60_000 - (performance.now() % 60_000)), ...args)
}

test('a tab that was offline is back within 10 s of being online', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.browserAgent({ id: 'ada' }, AWAY)
  const nora = await world.nodeAgent('nora')
  await knows(nora, [ada.id])
  await ada.tab.context().setOffline(true)
  await ada.run(() => new Promise(resolve => (navigator.onLine ? addEventListener('offline', resolve) : resolve())))
  await ada.tab.context().setOffline(false)
  const online = performance.now()
  await nora.run(({ mesh }, to) => mesh.send(to, 'welcome back', { timeoutMs: 30_000 }), ada.id)
  const took = Math.round(performance.now() - online)
  t.diagnostic(`reached ${took} ms after it was online`)
  assert.ok(took < BACK_MS, `reached after ${took} ms`)
})

test('a page that comes back from the back/forward cache is in the mesh again within 10 s', LIMIT, async t => {
  const world = await startWorld(t, { bfcache: true })
  const nora = await world.nodeAgent('nora')
  for (const webrtc of [false, true]) {
    const ada = await world.browserAgent({ id: 'ada' }, { ...AWAY, join: { webrtc } })
    await knows(nora, [ada.id])
    await ada.run(() => addEventListener('pageshow', event => Object.assign(globalThis, { restored: event.persisted })))
    await ada.tab.goto('about:blank')
    const back = performance.now()
    await ada.tab.goBack({ waitUntil: 'commit' })
    await ada.tab.waitForFunction(() => globalThis.neuralMesh !== undefined)
    const restored = await ada.run(() => globalThis.restored)
    if (restored) await nora.run(({ mesh }, to) => mesh.send(to, 'welcome back', { timeoutMs: 30_000 }), ada.id)
    const took = Math.round(performance.now() - back)
    t.diagnostic(`webrtc ${webrtc}: ${restored ? `restored, and reached after ${took} ms` : 'loaded anew by the browser'}`)
    assert.ok(took < BACK_MS, `reached after ${took} ms`)
    await ada.close()
  }
})

test('the page joins again when it is reloaded or come back to, as the same node', LIMIT, async t => {
  const world = await startWorld(t)
  const nora = await world.nodeAgent('nora')
  const page = await world.joinedPage('ada')
  await knows(nora, [`ada@${page.peerId}`])
  for (const [n, again] of [() => page.tab.reload(), () => page.tab.goto('about:blank').then(() => page.tab.goBack())].entries()) {
    await again()
    await page.node(page.peerId).waitFor()
    await nora.run(({ mesh }, to, text) => mesh.send(to, text, { timeoutMs: 30_000 }), `ada@${page.peerId}`, `welcome back ${n}`)
  }
})

async function open(world, context) {
  const tab = await context.newPage()
  await tab.goto(`${world.server.origin}/test/agent.html`)
  await tab.waitForFunction(() => globalThis.neuralMesh !== undefined)
  return tab
}

// Joins with the identity that is stored, and returns the peer id.
function join(world, tab, id) {
  return tab.evaluate(async ([name, relays, id]) => {
    globalThis.mesh = await neuralMesh.joinMesh(name, { relays, agent: { id }, identity: 'stored' })
    return mesh.peerId
  }, [world.mesh, world.relay.address, id])
}
