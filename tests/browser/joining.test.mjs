// Ways into a mesh, what stands in the way, and a relay that goes and comes back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startWorld, withoutWebRtc } from './lib/world.mjs'

const LIMIT = { timeout: 60_000 }
// What Chromium writes about sockets that nobody answers.
const REFUSED = /WebSocket connection to .* failed/

test('by the form, and by the link that is copied then', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.page({ permissions: ['clipboard-read', 'clipboard-write'] })
  await ada.join({ name: 'ada', mesh: world.mesh, relay: world.relay.address })
  await ada.tab.getByRole('button', { name: 'Copy link' }).click()
  await ada.tab.getByRole('button', { name: 'Copied' }).waitFor()
  const link = await ada.tab.evaluate(() => navigator.clipboard.readText())
  assert.equal(link, ada.tab.url(), 'the address of the page is the link too')
  assert.equal(new URL(link).hash, world.invitation)

  const bob = await world.page({ fragment: new URL(link).hash })
  await bob.tab.getByRole('heading', { name: `You are invited to ${world.mesh}` }).waitFor()
  await bob.join({ name: 'bob' })
  await ada.sees(bob.id)
})

test('a link only fills in the form, and one that is broken says so', LIMIT, async t => {
  const world = await startWorld(t)
  const page = await world.page({ fragment: world.invitation })
  assert.equal(await page.tab.getByLabel('Mesh', { exact: true }).inputValue(), world.mesh)
  assert.deepEqual(page.watch.requests.filter(url => url.startsWith('ws')), [], 'nothing is joined yet')
  for (const [fragment, complaint] of [
    ['#m=lab', 'names no relay'],
    ['#m=&r=/ip4/127.0.0.1', 'no usable name'],
    ['#m=lab&r=javascript:alert(1)', 'no WebSocket address'],
    [`${world.invitation}&c=AAAA`, 'a part that is no charter'],
  ]) {
    const { tab, alert } = await world.page({ fragment })
    await alert.getByText(complaint).waitFor()
    await tab.getByRole('button', { name: 'Dismiss' }).click()
    await alert.getByText(complaint).waitFor({ state: 'detached' })
  }
})

test('the relay that serves the page is the default; a server that answers with a page is none', LIMIT, async t => {
  const world = await startWorld(t)
  const { relay, server } = world
  const other = `/ip4/192.0.2.1/tcp/4002/ws/p2p/${relay.peerId}`
  server.relayJson = { mesh: world.mesh, peerId: relay.peerId, addresses: [other, relay.address], stun: [] }
  const ada = await world.page()
  await ada.tab.getByText('The relay that this page comes from').waitFor()
  await ada.join({ name: 'ada' })
  assert.equal(new URL(ada.tab.url()).hash, world.invitation, 'by the way that led to the page')

  for (const answer of ['<!doctype html>', { mesh: 7, addresses: 'x' }, []]) {
    server.relayJson = answer
    const page = await world.page()
    await page.tab.waitForLoadState('networkidle')
    assert.equal(await page.tab.getByLabel('Relay', { exact: true }).inputValue(), '')
  }
})

test('what cannot be joined is told, with what to do', LIMIT, async t => {
  const world = await startWorld(t)
  const page = await world.page({ fragment: world.invitation, expect: [REFUSED] })
  const { tab, alert } = page
  const join = tab.getByRole('button', { name: 'Join', exact: true })
  await tab.getByLabel('Relay', { exact: true }).fill('ws://127.0.0.1:4002')
  await join.click()
  await alert.getByText('is a URL, not a multiaddr').waitFor()

  await world.relay.kill()
  await tab.getByLabel('Relay', { exact: true }).fill(world.relay.address)
  await join.click()
  await page.state.filter({ hasText: 'Connecting' }).waitFor()
  await tab.getByRole('button', { name: 'Cancel' }).click()
  await page.state.filter({ hasText: 'Not in a mesh' }).waitFor()
  await join.click()
  await alert.getByText('Check that the relay runs').waitFor({ timeout: 20_000 })
  assert.match(await alert.textContent(), /No relay answered within 10000 ms/)
})

test('a relay that is lost is told, and found again when it is back', LIMIT, async t => {
  const world = await startWorld(t)
  const [ada, bob] = await Promise.all(['ada', 'bob'].map(name => world.joinedPage(name, { expect: [REFUSED] })))
  await Promise.all([ada.sees(bob.id), bob.sees(ada.id)])
  await world.relay.kill()
  await Promise.all([ada, bob].map(page => page.state.filter({ hasText: 'Relay lost, reconnecting' }).waitFor()))
  await world.e2e.startRelay()
  await Promise.all([ada, bob].map(page => page.state.filter({ hasText: /^Joined/ }).waitFor()))
  await ada.send(bob.id, 'still here')
  await bob.agent(ada.id).click()
  await bob.messages.getByText('still here').waitFor()
})

test('without WebRTC the page says so, and works', LIMIT, async t => {
  const world = await startWorld(t)
  const [ada, bob] = await Promise.all([world.joinedPage('ada', { init: withoutWebRtc }), world.joinedPage('bob')])
  const notice = 'WebRTC is not available here: everything goes through the relay.'
  await ada.tab.getByText(notice).waitFor()
  assert.equal(await bob.tab.getByText(notice).count(), 0)
  await Promise.all([ada.sees(bob.id), bob.sees(ada.id)])
  await ada.send(bob.id, 'by the relay')
  await bob.agent(ada.id).click()
  await bob.messages.getByText('by the relay').waitFor()
  assert.equal(await ada.node(bob.peerId).getAttribute('data-way'), 'relayed')
})
