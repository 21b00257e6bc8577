// Two pages and an agent in Node.js in one mesh, through what a user sees and does.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { knows, seen } from '../e2e/lib/mesh.mjs'
import { startWorld, until, withoutWebRtc } from './lib/world.mjs'

const LIMIT = { timeout: 60_000 }

test('two pages and a Node agent see each other, talk, and say something to all', LIMIT, async t => {
  const { pages: [ada, bob], nora } = await company(t)
  await ada.send(bob.id, 'hello bob')
  await bob.agent(ada.id).getByText('1 unread').waitFor()
  await bob.send(ada.id, 'hello ada')
  await bob.messages.getByText('hello bob').waitFor()
  await ada.messages.getByText('hello ada').waitFor()

  await ada.send(nora.id, 'hello nora')
  const [message] = await nora.run(({ log, until }) => until(() => log.messages.length > 0 && log.messages))
  assert.deepEqual([message.from, message.to, message.payload], [ada.id, 'nora', 'hello nora'])
  await nora.run(({ mesh }, to) => mesh.send(to, { answer: 42, bytes: new Uint8Array(3) }, { from: 'nora' }), ada.id)
  await ada.messages.getByText('"answer": 42').waitFor()
  await ada.messages.getByText('<3 bytes>').waitFor()

  await bob.broadcast('good morning')
  await ada.broadcasts.locator('.said', { hasText: 'good morning' }).getByText('bob').waitFor()
  const broadcast = await nora.run(({ log, until }) => until(() => log.broadcasts[0]))
  assert.deepEqual([broadcast.from, broadcast.payload], [bob.peerId, 'good morning'])
  await nora.run(({ mesh }) => mesh.broadcast('from Node', { topic: 'greetings' }))
  for (const page of [ada, bob]) {
    const said = page.broadcasts.locator('.said', { hasText: 'from Node' })
    await said.getByText('nora').waitFor()
    await said.getByText('greetings').waitFor()
  }
})

test('the picture and the table tell how everybody is reached', LIMIT, async t => {
  const { world, pages: [ada, bob], nora } = await company(t, { init: withoutWebRtc })
  await ada.send(bob.id, 'this connects us')
  await ada.reaches(bob.peerId, true)
  await ada.tab.locator('.links path[data-way=relayed]').waitFor({ state: 'attached' })
  assert.equal(await ada.node(world.relay.peerId).getAttribute('data-kind'), 'relay')
  assert.equal(await ada.node(bob.peerId).getAttribute('data-way'), 'relayed')
  assert.match(await ada.picture.getAttribute('aria-label'), /this page, 1 relay, 2 other nodes: 1 through a relay/)

  await ada.tab.getByRole('button', { name: 'Table' }).click()
  const row = peerId => ada.tab.locator(`tr[data-peer="${peerId}"]`)
  await row(bob.peerId).getByText('via relay').waitFor()
  await row(bob.peerId).getByText(/^(< )?\d+ ms$/).waitFor()
  await row(nora.peerId).getByText('nora').waitFor()
  await row(world.relay.peerId).getByRole('cell', { name: 'relay', exact: true }).waitFor()
  assert.equal(await ada.tab.locator('tbody tr').count(), 4)
})

test('agents are found by what they can do', LIMIT, async t => {
  const { pages: [ada, bob], nora } = await company(t)
  const box = ada.tab.getByRole('searchbox', { name: 'Find agents by name or capability' })
  await box.fill('bo')
  await ada.agent(nora.id).waitFor({ state: 'detached' })
  await ada.agent(bob.id).waitFor()
  await box.fill('digits')
  await box.press('Enter')
  await ada.agents.getByText('1 agent with digits').waitFor()
  await ada.agent(nora.id).waitFor()
  await box.fill('nothing-of-the-kind')
  await box.press('Enter')
  await ada.agents.getByText('0 agents with nothing-of-the-kind').waitFor()
  await box.fill('')
  await ada.sees(bob.id, nora.id)
})

test('a file dropped on an agent arrives as it is, with progress at both ends', LIMIT, async t => {
  const { pages: [ada, bob], nora } = await company(t)
  const progress = await Promise.all([ada, bob].map(watchProgress))
  const data = randomBytes(12_000_000)
  await bob.open(ada.id)
  await ada.drop(ada.node(bob.peerId), { name: 'model.safetensors', data })
  await ada.messages.locator('.file', { hasText: 'delivered' }).waitFor()

  const file = bob.messages.locator('.file', { hasText: 'model.safetensors' })
  await file.getByText('received, checksum verified').waitFor()
  const [download] = await Promise.all([bob.tab.waitForEvent('download'), file.getByRole('link', { name: 'Download' }).click()])
  assert.equal(download.suggestedFilename(), 'model.safetensors')
  assert.equal(sha256(await readFile(await download.path())), sha256(data))
  for (const steps of await Promise.all(progress.map(read => read()))) {
    assert.ok(steps.some(step => step > 0 && step < 100), `on the way: ${steps}`)
    assert.deepEqual(steps, [...steps].sort((a, b) => a - b), 'never back')
  }

  // To an agent in Node.js by the row in the list, and back.
  await ada.drop(ada.agent(nora.id), { name: 'small.bin', data: data.subarray(0, 1000) })
  const weights = await nora.run(({ log, until }) => until(() => log.weights[0]))
  assert.deepEqual([weights.name, weights.format, weights.agentId, sha256(weights.data)], ['small.bin', 'raw', 'ada', sha256(data.subarray(0, 1000))])
  await nora.run(({ mesh }, to) => mesh.weights.share(to, { agentId: 'nora', name: 'back.bin', data: new Uint8Array(10) }), ada.id)
  await ada.messages.locator('.file', { hasText: 'back.bin' }).getByRole('link', { name: 'Download' }).waitFor()
})

test('a file is chosen by button too, and can be called off', LIMIT, async t => {
  const { pages: [ada, bob] } = await company(t)
  await ada.open(bob.id)
  await ada.tab.getByLabel('Send files').setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') })
  await ada.messages.locator('.file', { hasText: 'notes.txt' }).getByText('delivered').waitFor()
  await ada.drop(ada.conversation, { name: 'large.bin', size: 200_000_000 })
  const large = ada.messages.locator('.file', { hasText: 'large.bin' })
  await large.getByRole('button', { name: 'Cancel' }).click()
  await large.getByText('Cancelled').waitFor()
})

test('a closed tab is noticed by all others within 10 s', LIMIT, async t => {
  const { pages: [ada, bob, eve], nora } = await company(t, { names: ['ada', 'bob', 'eve'] })
  const began = performance.now()
  await eve.close()
  await Promise.all([ada.misses(eve.id), bob.misses(eve.id), seen(nora, 'agent-left', { id: eve.id })])
  const ms = performance.now() - began
  t.diagnostic(`noticed within ${Math.round(ms)} ms`)
  assert.ok(ms < 10_000, `${ms} ms`)
})

test('a tab that crashes is noticed by those that a relay connects, and is marked as silent after a while', LIMIT, async t => {
  const { pages: [ada, bob], nora } = await company(t, { init: withoutWebRtc, expect: [/^the tab crashed$/] })
  await bob.send(ada.id, 'we are connected')
  await bob.send(nora.id, 'we too')
  await ada.reaches(bob.peerId, true)
  await bob.crash()
  await ada.reaches(bob.peerId, false, { timeout: 10_000 })
  await seen(nora, 'peer-disconnected', { peerId: bob.peerId })
  await ada.tab.locator(`.node[data-peer="${bob.peerId}"][data-silent]`).waitFor({ timeout: 30_000 })
})

test('who leaves by the button is gone, and can join again', LIMIT, async t => {
  const { pages: [ada, bob] } = await company(t)
  await ada.tab.getByRole('button', { name: 'Leave' }).click()
  await ada.state.filter({ hasText: 'Not in a mesh' }).waitFor()
  await bob.agent(ada.id).waitFor({ state: 'detached' })
  await ada.join({})
  await bob.agents.getByText('ada').waitFor()
  await until(async () => (await ada.agents.locator('button.row').count()) === 2, { what: 'both others are known again' })
})

// Pages of these names and an agent `nora` in Node.js, who all know each other.
async function company(t, { names = ['ada', 'bob'], ...options } = {}) {
  const world = await startWorld(t)
  const nora = await world.nodeAgent([{ id: 'nora', type: 'researcher', capabilities: ['digits', 'vision'] }])
  const pages = await Promise.all(names.map(name => world.joinedPage(name, options)))
  const ids = [nora.id, ...pages.map(({ id }) => id)]
  await Promise.all([knows(nora, ids), ...pages.map(page => page.sees(...ids.filter(id => id !== page.id)))])
  return { world, pages, nora }
}

// Writes down what progress bars of a page show, in per cent; resolves to what reads it.
async function watchProgress({ tab }) {
  await tab.evaluate(() => {
    globalThis.steps = []
    new MutationObserver(() => {
      const bar = document.querySelector('progress')
      if (bar) globalThis.steps.push(100 * bar.position)
    }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true })
  })
  return () => tab.evaluate(() => globalThis.steps)
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')
