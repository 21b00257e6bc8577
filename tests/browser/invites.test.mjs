// Private meshes by the page: founded in a tab on a relay that is not in it, joined by invite.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readQr } from './lib/qr.mjs'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 90_000 }

test('a tab founds a private mesh, and another comes in by an invite and again after a reload', LIMIT, async t => {
  const { world, ada } = await club(t, { permissions: ['clipboard-read', 'clipboard-write'] })
  assert.equal(new URL(ada.tab.url()).hash, `${world.invitation}&p=1`)
  await ada.agents.getByText('Invite somebody.').waitFor()
  assert.equal(await ada.tab.getByRole('button', { name: 'Copy link' }).count(), 0, 'that would let nobody in')
  const link = await ada.invite()
  assert.equal(link.split('#')[0], `${world.server.origin}/`)
  await ada.dialog.getByText(/^For one\. Not used yet; valid until /).waitFor()
  await ada.dialog.getByRole('button', { name: 'Copy' }).click()
  await ada.dialog.getByRole('button', { name: 'Copied' }).waitFor()
  assert.equal(await ada.tab.evaluate(() => navigator.clipboard.readText()), link)
  assert.equal(await readQr(ada, ada.dialog.getByRole('img', { name: 'QR code of the invite' })), link)

  const bob = await world.page({ fragment: new URL(link).hash })
  await bob.tab.getByRole('heading', { name: `You are invited to ${world.mesh}` }).waitFor()
  const about = (await bob.tab.locator('.invited').innerText()).replaceAll(/\s+/g, ' ')
  assert.match(about, new RegExp(`A private mesh. …${ada.peerId.slice(-6)} invites you as a member, until \\d`))
  for (const label of ['Mesh', 'Relay']) assert.equal(await bob.tab.getByLabel(label, { exact: true }).getAttribute('readonly'), '')
  assert.deepEqual(bob.watch.requests.filter(url => url.startsWith('ws')), [], 'nothing is joined yet')
  await bob.join({ name: 'bob' })
  assert.equal(bob.tab.url(), link, 'the invite stays in the address bar')
  await ada.dialog.getByText(/bob has come in at \d\d:\d\d by this invite\./).waitFor()
  await ada.dialog.getByRole('button', { name: 'Another one' }).click()
  await ada.dialog.getByRole('button', { name: 'Make an invite' }).waitFor()
  await ada.dialog.getByRole('list', { name: 'Came in' }).getByText('bob has come in at').waitFor()
  await ada.tab.keyboard.press('Escape')
  await ada.dialog.waitFor({ state: 'detached' })
  assert.equal(await ada.tab.evaluate(() => document.activeElement.textContent.trim()), 'Invite', 'the focus is back')
  await talk(ada, bob)
  assert.equal(await bob.node(ada.peerId).getAttribute('data-kind'), 'member', 'who invites is no relay')
  assert.equal(await bob.node(world.relay.peerId).getAttribute('data-kind'), 'relay')
  assert.equal(await bob.node(world.relay.peerId).getAttribute('data-way'), 'direct')
  assert.equal(await bob.tab.getByRole('button', { name: 'Invite' }).count(), 0, 'nobody has allowed that')
  assert.match(await bob.tab.locator('.private').textContent(), /you are a member until /)

  for (const [page, other] of [[bob, ada], [ada, bob]]) {
    await page.tab.reload()
    await page.state.filter({ hasText: 'Joined · 2 nodes' }).waitFor()
    assert.equal(await page.tab.locator('.node[data-kind=self]').getAttribute('data-peer'), page.peerId, 'the same node')
    await Promise.all([page.sees(other.id), other.sees(page.id)])
  }
  await talk(bob, ada)

  const eve = await world.page({ fragment: new URL(link).hash })
  await eve.tab.getByRole('button', { name: 'Join', exact: true }).click()
  await eve.alert.getByText('another node has used it: ask for a new invite').waitFor()
  // The open mesh of that name on that relay is another one.
  const zoe = await world.joinedPage('zoe')
  assert.equal(await zoe.tab.locator('.private').count(), 0)
  await zoe.broadcast('who is here?')
  await zoe.state.filter({ hasText: 'Joined · 1 node' }).waitFor()
  assert.equal(await ada.broadcasts.getByText('who is here?').count(), 0)
  await ada.state.filter({ hasText: 'Joined · 2 nodes' }).waitFor()
})

test('the founder removes a member, who is told', LIMIT, async t => {
  const { world, ada } = await club(t)
  const bob = await invited(world, ada, 'bob')
  await ada.open(bob.id)
  const remove = ada.conversation.getByRole('button', { name: 'Remove from the mesh' })
  await remove.click()
  await ada.dialog.getByRole('button', { name: 'Keep' }).click()
  await remove.click()
  await ada.dialog.getByRole('button', { name: 'Remove', exact: true }).click()
  await ada.agent(bob.id).waitFor({ state: 'detached' })
  await ada.node(bob.peerId).waitFor({ state: 'detached' })
  await bob.alert.getByText('You were removed from this mesh. To come in again, ask for a new invite.').waitFor({ timeout: 10_000 })
  await bob.state.filter({ hasText: 'Not in a mesh' }).waitFor()
})

test('who is invited to listen hears, and cannot speak', LIMIT, async t => {
  const { world, ada } = await club(t)
  const oz = await invited(world, ada, 'oz', { role: 'somebody who only listens', lifetime: 'an hour' }, async ({ tab }) => {
    await tab.getByText('invites you to listen').waitFor()
  })
  await oz.tab.getByText('private, you only listen').waitFor()
  await oz.sees(ada.id)
  await ada.broadcast('hear, hear')
  await oz.broadcasts.getByText('hear, hear').waitFor()
  await oz.tab.getByRole('textbox', { name: 'Say something to everybody' }).fill('may I?')
  await oz.tab.keyboard.press('Enter')
  await oz.broadcasts.getByText('This node only listens in this mesh').waitFor()
  assert.equal(await ada.broadcasts.getByText('may I?').count(), 0)
  // Only those who can vote are made voters.
  await ada.decisions.getByRole('button', { name: 'Let everybody here vote' }).click()
  await ada.decisions.getByText('1 voter, you are one of them').waitFor()
})

test('an invite whose maker is away says so', LIMIT, async t => {
  const { world, ada } = await club(t)
  const link = await ada.invite()
  await Promise.all([ada.tab.waitForEvent('close'), ada.close()])
  const bob = await world.page({ fragment: new URL(link).hash })
  await bob.tab.getByRole('button', { name: 'Join', exact: true }).click()
  await bob.alert.getByText('has to be in the mesh when it is used for the first time').waitFor({ timeout: 40_000 })
})

test('a second tab with the address of a founder says that it founds another mesh', LIMIT, async t => {
  const { world, ada, within } = await club(t)
  const other = await world.page({ within, fragment: new URL(ada.tab.url()).hash })
  await other.tab.getByRole('heading', { name: `Your private mesh ${world.mesh}` }).waitFor()
  await other.tab.getByText('In any other you found a new one of that name.').waitFor()
  // As a browser does that copies a tab.
  const joined = await ada.tab.evaluate(() => JSON.stringify({ ...sessionStorage }))
  await other.tab.evaluate(joined => Object.assign(sessionStorage, JSON.parse(joined)), joined)
  await other.tab.reload()
  await other.alert.getByText('This is another mesh of that name').waitFor()
  await other.state.filter({ hasText: 'Joined · 1 node' }).waitFor()
})

test('a browser that keeps nothing founds nothing, and a stranger after a reload is told before', LIMIT, async t => {
  const { world, ada } = await club(t)
  const link = await ada.invite()
  const forgetful = { init: () => Object.defineProperty(navigator, 'locks', { value: undefined }) }
  const form = await world.page(forgetful)
  const box = form.tab.getByRole('checkbox', { name: 'Private: others need an invite' })
  assert.equal(await box.isDisabled(), true)
  await form.tab.getByText('This browser cannot keep who you are').waitFor()
  const bob = await world.page({ ...forgetful, fragment: new URL(link).hash })
  await bob.tab.getByText('after a reload you are a stranger, and need a new invite').waitFor()
  await bob.join({ name: 'bob' })
  await ada.sees(bob.id)
})

test('a broken invite says so, and a relay of a private mesh that one needs one', LIMIT, async t => {
  const world = await startWorld(t)
  for (const fragment of ['#i=', '#i=AAAA', '#i=a&i=b', '#i=%20']) {
    const page = await world.page({ fragment })
    await page.alert.getByText('a part that is no invite').waitFor()
  }
  world.server.relayJson = { mesh: world.mesh, private: true, charter: null, peerId: world.relay.peerId, addresses: [world.relay.address], stun: [] }
  const page = await world.page()
  await page.tab.getByRole('heading', { name: `${world.mesh} is private` }).waitFor()
  assert.equal(await page.tab.getByRole('button', { name: 'Join' }).count(), 0)
})

// A relay of an open mesh, and a tab that has founded a private one of the same name there.
async function club(t, options = {}) {
  const world = await startWorld(t)
  const within = await world.browser.newContext({ locale: 'en-GB', ...options })
  const ada = await world.page({ within, fragment: world.invitation })
  await ada.tab.getByRole('checkbox', { name: 'Private: others need an invite' }).check()
  await ada.join({ name: 'ada' })
  return { world, ada, within }
}

// A tab of another browser that has come in by an invite of `host`, after what `before` does with its form.
async function invited(world, host, name, how, before) {
  const link = await host.invite(how)
  const page = await world.page({ fragment: new URL(link).hash })
  await before?.(page)
  await page.join({ name })
  await host.tab.keyboard.press('Escape')
  await host.dialog.waitFor({ state: 'detached' })
  if (how?.role === undefined) await Promise.all([host.sees(page.id), page.sees(host.id)])
  return page
}

async function talk(one, other) {
  await Promise.all([one.sees(other.id), other.sees(one.id)])
  await one.send(other.id, `hello from ${one.name}`)
  await other.agent(one.id).click()
  await other.messages.getByText(`hello from ${one.name}`).last().waitFor()
}
