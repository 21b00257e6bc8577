// Usable without a mouse and without eyes: axe finds nothing serious, and the keyboard reaches everything.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { elect, propose } from './lib/council.mjs'
import { startWorld, withoutWebRtc } from './lib/world.mjs'

const LIMIT = { timeout: 60_000 }
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

for (const colorScheme of ['light', 'dark']) {
  for (const viewport of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
    test(`axe has nothing against the page: ${colorScheme}, ${viewport.width} pixels wide`, LIMIT, async t => {
      const world = await startWorld(t)
      const options = { colorScheme, viewport, reducedMotion: 'reduce', init: withoutWebRtc }
      const ada = await world.page({ fragment: '#m=lab', ...options })
      await ada.alert.getByText('names no relay').waitFor()
      await check(ada, 'the form')
      await ada.join({ name: 'ada', mesh: world.mesh, relay: world.relay.address, capabilities: 'digits' })
      const nora = await world.nodeAgent([{ id: 'nora', type: 'researcher', capabilities: ['digits', 'vision'] }])
      const bob = await world.nodeAgent('bob')
      await ada.sees(nora.id, bob.id)
      await ada.send(nora.id, 'hello')
      await nora.run(({ mesh }, to) => mesh.send(to, 'hello', { from: 'nora' }), ada.id)
      await bob.run(({ mesh }, to) => mesh.send(to, 'unread', { from: 'bob' }), ada.id)
      await bob.run(({ mesh }) => mesh.broadcast('to all', { topic: 'greetings' }))
      await nora.run(({ mesh }, to) => mesh.weights.share(to, { agentId: 'nora', name: 'w', data: new Uint8Array(10) }), ada.id)
      await ada.messages.getByRole('link', { name: 'Download' }).waitFor()
      await ada.broadcasts.getByText('to all').waitFor()
      await check(ada, 'the picture')
      await ada.tab.getByRole('button', { name: 'Table' }).click()
      await ada.tab.getByRole('table').waitFor()
      await check(ada, 'the table')
    })
  }
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe has nothing against decisions: ${colorScheme}`, LIMIT, async t => {
    const world = await startWorld(t, { charter: true })
    const nora = await world.nodeAgent('nora')
    const ada = await world.page({ fragment: world.invitation, colorScheme, reducedMotion: 'reduce' })
    await ada.join({ name: 'ada' })
    await elect(nora, [nora, ada])
    await ada.decisions.getByText('2 voters, you are one of them').waitFor()
    for (const title of ['This', 'That', 'Both']) await propose(nora, title)
    await ada.vote('This', 'Approve', 'it is cheap')
    await ada.vote('That', 'Reject')
    const proof = ada.proposal('This')
    await proof.getByRole('button', { name: 'Check', exact: true }).click()
    await proof.getByText(/^Holds/).waitFor()
    await proof.getByText('Votes', { exact: true }).click()
    await ada.decisions.getByLabel('Check a certificate').setInputFiles({ name: 'x.cbor', mimeType: 'application/cbor', buffer: Buffer.from('x') })
    await ada.decisions.getByText('This is no certificate').waitFor()
    for (const size of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
      await ada.tab.setViewportSize(size)
      await check(ada, `decisions, ${size.width} pixels wide`)
    }
  })
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe has nothing against knowledge: ${colorScheme}`, LIMIT, async t => {
    const world = await startWorld(t)
    const nora = await world.nodeAgent('nora')
    const ada = await world.page({ fragment: world.invitation, colorScheme, reducedMotion: 'reduce' })
    await ada.join({ name: 'ada' })
    const sizes = [{ width: 1280, height: 800 }, { width: 360, height: 740 }]
    const everywhere = async what => {
      for (const size of sizes) {
        await ada.tab.setViewportSize(size)
        await check(ada, `${what}, ${size.width} pixels wide`)
        assert.equal(await ada.tab.evaluate(() => document.documentElement.scrollWidth), size.width, 'nothing sticks out')
      }
    }
    await everywhere('nothing known')
    await nora.run(async ({ mesh }) => {
      for (let i = 0; i < 8; i++) await mesh.knowledge.put('a-key-without-any-place-to-break-it'.repeat(4), i, { domain: `domain ${i}`, waitMs: 0 })
      await mesh.knowledge.put('result', { accuracy: 0.95 }, { metadata: { by: 'nora' }, ttlMs: 3600_000 })
      await mesh.knowledge.put('weights', new Uint8Array(1000), { type: 'application/octet-stream' })
    })
    await ada.openKey('result')
    await ada.entry.getByRole('region', { name: 'Value' }).waitFor()
    await ada.entry.getByText(/^Held by/).waitFor()
    await everywhere('an entry')
    await ada.openKey('weights')
    await ada.put('broken', { json: '{' })
    await ada.knowledge.getByRole('alert').getByText('This is no JSON').waitFor()
    await ada.knowledge.getByRole('button', { name: 'File', exact: true }).click()
    await everywhere('bytes, a file, and what went wrong')
    await ada.entry.getByRole('button', { name: 'Delete' }).click()
    await ada.dialog.waitFor()
    await check(ada, 'the question')
  })
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe has nothing against a private mesh: ${colorScheme}`, LIMIT, async t => {
    const world = await startWorld(t)
    const options = { colorScheme, reducedMotion: 'reduce', init: withoutWebRtc }
    const narrow = { width: 390, height: 844 }
    const ada = await world.page({ fragment: world.invitation, ...options })
    await ada.tab.getByRole('checkbox').check()
    await check(ada, 'the form that founds')
    await ada.join({ name: 'ada' })
    await ada.tab.getByRole('button', { name: 'Invite', exact: true }).click()
    await ada.dialog.waitFor()
    await check(ada, 'the choices')
    await ada.tab.keyboard.press('Escape')
    await ada.dialog.waitFor({ state: 'detached' })
    const link = await ada.invite()
    await check(ada, 'the invite')
    await ada.tab.setViewportSize(narrow)
    await check(ada, 'the invite, 390 pixels wide')
    const bob = await world.page({ fragment: new URL(link).hash, ...options })
    await bob.tab.getByText('A private mesh.').waitFor()
    await check(bob, 'the form of who is invited')
    await bob.join({ name: 'bob' })
    await ada.dialog.getByText('by this invite').waitFor()
    await check(ada, 'the used invite')
    await ada.tab.keyboard.press('Escape')
    await ada.open(bob.id)
    await check(ada, 'a member')
    await ada.tab.getByRole('button', { name: 'Remove from the mesh' }).click()
    await ada.dialog.waitFor()
    await check(ada, 'the question')
    await check(bob, 'as a member')
  })
}

test('everything is reached by keyboard, and the theme is switched and remembered', LIMIT, async t => {
  const world = await startWorld(t)
  const bob = await world.nodeAgent('bob')
  const ada = await world.page({ fragment: world.invitation, colorScheme: 'light' })
  const { tab } = ada
  const press = async (key, until) => {
    for (let i = 0; i < 30; i++) {
      await tab.keyboard.press(key)
      const focused = await tab.evaluate(() => {
        const { ariaLabel, id, textContent, dataset } = document.activeElement
        return `${ariaLabel ?? ''} ${id} ${dataset.id ?? ''} ${textContent.trim()}`
      })
      if (focused.includes(until)) return
    }
    throw new Error(`the key ${key} does not lead to ${until}`)
  }
  await press('Tab', 'join-name')
  await tab.keyboard.type('x')
  await tab.keyboard.press('Enter')
  await ada.state.filter({ hasText: /^Joined/ }).waitFor()
  await ada.agent(bob.id).waitFor()
  await press('Tab', bob.id)
  await tab.keyboard.press('Enter')
  // Choosing leads to where one writes.
  await tab.waitForFunction(() => document.activeElement?.id === 'message')
  await tab.keyboard.type('by keyboard')
  await tab.keyboard.press('Enter')
  await ada.messages.getByText('by keyboard').waitFor()
  await press('Shift+Tab', 'Dark colours')
  const background = () => tab.evaluate(() => getComputedStyle(document.body).backgroundColor)
  const light = await background()
  await tab.keyboard.press('Enter')
  await tab.waitForFunction(light => getComputedStyle(document.body).backgroundColor !== light, light)
  const dark = await background()
  await tab.reload()
  assert.equal(await background(), dark)
})

async function check({ tab }, what) {
  await tab.evaluate(axe)
  const { violations } = await tab.evaluate(() => globalThis.axe.run())
  const found = violations
    .filter(({ impact }) => impact !== 'minor')
    .map(({ id, impact, nodes }) => `${what}: ${id} (${impact}): ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`)
  assert.deepEqual(found, [])
}
