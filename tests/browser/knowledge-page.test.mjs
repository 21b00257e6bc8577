// What is known together, as the page shows it: two pages and agents in Node.js put, see, open, choose and delete.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { knows, seen } from '../e2e/lib/mesh.mjs'
import { startWorld, until } from './lib/world.mjs'

const LIMIT = { timeout: 90_000 }
const HOSTILE = '<img src=x onerror="globalThis.hacked = true">'

test('what one page puts the others see, open, and know who holds it', LIMIT, async t => {
  const { ada, bob, nora } = await company(t)
  await ada.put('result', { json: '{ "accuracy": 0.95, "right": [9, 5] }', domain: 'digits', ttl: '1 hour' })
  await ada.entry.getByText('"accuracy": 0.95').waitFor()
  assert.equal(await ada.domain('digits').getAttribute('aria-pressed'), 'true')
  assert.equal(await ada.knowledge.getByRole('textbox', { name: 'Key' }).inputValue(), '')
  // Both others and the relay are asked to hold it.
  await ada.entry.getByText('3 of 3 copies').waitFor()

  await bob.domain('digits').click()
  await bob.key('result').getByText(/^JSON · \d+ bytes · ada · /).waitFor()
  await bob.key('result').getByText('3 of 3 copies').waitFor()
  await bob.openKey('result')
  await bob.entry.getByText('"accuracy": 0.95').waitFor()
  await bob.entry.getByText('in 60 min').waitFor()
  const holders = bob.entry.getByRole('list', { name: 'Holders' })
  for (const who of ['this page', 'nora', 'ada, its author', /relay …/]) await holders.locator('li', { hasText: who }).waitFor()
  assert.equal(await bob.tab.evaluate(() => document.activeElement.id), 'entry-title', 'opening leads to it')

  const { value, author, cid } = await nora.run(async ({ mesh }) => mesh.knowledge.get('result', { domain: 'digits' }).then(({ value, author, cid }) => ({ value, author, cid })))
  assert.deepEqual([value, author], [{ accuracy: 0.95, right: [9, 5] }, ada.peerId])
  await bob.entry.getByText(cid).waitFor()
  await nora.run(({ mesh }) => mesh.knowledge.put('result', 'better', { domain: 'digits' }))
  await bob.entry.getByText('better', { exact: true }).waitFor()
  await bob.key('result').getByText(/^text · 6 bytes · nora · /).waitFor()
})

test('nothing that others have put becomes markup', LIMIT, async t => {
  const { ada, bob, nora } = await company(t)
  await nora.run(async ({ mesh }, hostile) => {
    await mesh.knowledge.put(hostile, hostile, { metadata: { name: hostile, more: hostile }, domain: hostile })
    await mesh.knowledge.put('page.html', new TextEncoder().encode(hostile), { type: 'text/html', domain: hostile, expiresAt: Number.MAX_SAFE_INTEGER })
    await mesh.knowledge.put('value', { [hostile]: hostile }, { domain: hostile })
  }, HOSTILE)
  for (const page of [ada, bob]) {
    await page.knowledge.getByRole('button', { name: HOSTILE }).click()
    await page.openKey(HOSTILE)
    await page.entry.getByRole('region', { name: 'Value' }).getByText(HOSTILE, { exact: true }).waitFor()
    await page.openKey('value')
    await page.entry.getByRole('region', { name: 'Value' }).getByText(`"${HOSTILE.replaceAll('"', '\\"')}"`).waitFor()
    await page.openKey('page.html')
    await page.entry.getByText('to be saved as a file').waitFor()
    await page.entry.getByText('in a very long time').waitFor()
    const [download] = await Promise.all([page.tab.waitForEvent('download'), page.entry.getByRole('button', { name: 'Save' }).click()])
    assert.equal(await readFile(await download.path(), 'utf8'), HOSTILE)
    assert.deepEqual(await page.tab.evaluate(() => [globalThis.hacked, document.querySelectorAll('img').length]), [undefined, 0])
  }
})

test('a file is dropped, put, and saved by the other page', LIMIT, async t => {
  const { ada, bob } = await company(t)
  const data = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => i * i))
  await ada.drop(ada.knowledge, { name: 'model.safetensors', data })
  const form = ada.knowledge.getByRole('form')
  await form.getByText('model.safetensors').waitFor()
  assert.equal(await form.getByRole('textbox', { name: 'Key' }).inputValue(), 'model.safetensors')
  await form.getByRole('textbox', { name: 'Key' }).fill('weights')
  await form.getByRole('button', { name: 'Put' }).click()
  await bob.openKey('weights')
  await bob.entry.getByText('300 kB of bytes, to be saved as a file.').waitFor()
  const [download] = await Promise.all([bob.tab.waitForEvent('download'), bob.entry.getByRole('button', { name: 'Save' }).click()])
  assert.equal(download.suggestedFilename(), 'model.safetensors')
  assert.ok(data.equals(await readFile(await download.path())))
  await form.getByLabel('Choose a file').setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') })
  await form.getByRole('button', { name: 'Put' }).click()
  await bob.key('notes.txt').getByText(/^text\/plain · 5 bytes/).waitFor()
  await bob.knowledge.getByText(/ of 67 MB used/).waitFor()
})

test('of two versions that were written apart one is chosen', LIMIT, async t => {
  const world = await startWorld(t)
  const proxy = await world.e2e.proxy()
  const nora = await world.nodeAgent('nora', { via: proxy })
  const otto = await world.nodeAgent('otto')
  const ada = await world.joinedPage('ada')
  await Promise.all([ada.sees(nora.id, otto.id), knows(nora, [ada.id, otto.id])])
  proxy.cut()
  await seen(nora, 'relay-disconnected')
  await nora.run(({ mesh }) => mesh.knowledge.put('motto', 'of nora', { waitMs: 0 }))
  await otto.run(({ mesh }) => mesh.knowledge.put('motto', 'of otto', { waitMs: 0 }))
  await ada.key('motto').waitFor()
  proxy.heal()
  await ada.key('motto').getByText('2 versions').waitFor({ timeout: 40_000 })
  await ada.openKey('motto')
  await ada.entry.getByText('2 versions, written without knowing of each other').waitFor()
  for (const who of ['nora', 'otto']) {
    await ada.entry.getByRole('button', { name: `Show the version of ${who}` }).click()
    await ada.entry.getByRole('region', { name: 'Value' }).getByText(`of ${who}`).waitFor()
  }
  await ada.entry.getByRole('button', { name: 'Keep only this version of nora' }).click()
  await ada.entry.getByRole('list', { name: 'Versions' }).waitFor({ state: 'detached' })
  await ada.entry.getByRole('region', { name: 'Value' }).getByText('of nora').waitFor()
  for (const agent of [nora, otto]) {
    await agent.run(({ mesh, until }, author) => until(async () => {
      const entry = await mesh.knowledge.get('motto')
      return entry?.author === author && entry.value === 'of nora' && entry.siblings.length === 0
    }, { what: 'one version' }), ada.peerId)
  }
})

test('who deletes is asked, and all others see that it is gone', LIMIT, async t => {
  const { ada, bob, nora } = await company(t)
  await nora.run(({ mesh }) => mesh.knowledge.put('secret', 'x'))
  await Promise.all([ada.openKey('secret'), bob.openKey('secret')])
  const remove = ada.entry.getByRole('button', { name: 'Delete' })
  await remove.click()
  await ada.dialog.getByRole('button', { name: 'Keep' }).click()
  await remove.click()
  await ada.dialog.getByRole('button', { name: 'Delete', exact: true }).click()
  await ada.key('secret').waitFor({ state: 'detached' })
  await ada.knowledge.getByText('Choose a key to see what it stands for.').waitFor()
  await bob.key('secret').waitFor({ state: 'detached' })
  await bob.entry.getByText('There is nothing under this key any more.').waitFor()
  assert.equal(await nora.run(async ({ mesh, until }) => until(async () => (await mesh.knowledge.get('secret')) === null)), true)
})

test('in a private mesh who only listens sees all and writes nothing', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.page({ fragment: world.invitation })
  await ada.tab.getByRole('checkbox').check()
  await ada.join({ name: 'ada' })
  const link = await ada.invite({ role: 'somebody who only listens' })
  const oz = await world.page({ fragment: new URL(link).hash })
  await oz.join({ name: 'oz' })
  await ada.tab.keyboard.press('Escape')
  await ada.put('plan', { text: 'sleep' })
  await oz.openKey('plan')
  await oz.entry.getByRole('region', { name: 'Value' }).getByText('sleep').waitFor()
  await oz.knowledge.getByText('You only listen in this mesh').waitFor()
  assert.equal(await oz.knowledge.getByRole('form').count(), 0)
  assert.equal(await oz.entry.getByRole('button', { name: 'Delete' }).count(), 0)
})

test('a domain of somebody’s own says so to who writes there', LIMIT, async t => {
  const { ada, nora } = await company(t)
  await nora.run(({ mesh }) => mesh.knowledge.put('next', 'sleep', { domain: mesh.knowledge.ownDomain('plans') }))
  await ada.knowledge.getByRole('button', { name: 'plans of nora' }).click()
  await ada.openKey('next')
  await ada.put('next', { text: 'wake' })
  await ada.knowledge.getByRole('alert').getByText('Ask the owner of the domain.').waitFor()
  assert.equal(await ada.knowledge.getByRole('textbox', { name: 'Text' }).inputValue(), 'wake', 'nothing is lost')
})

test('what is known outlives a reload, with nobody else there', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.joinedPage('ada', { expect: [/WebSocket connection to .* failed/] })
  await ada.put('diary', { text: 'dear diary' })
  await ada.entry.getByText('dear diary').waitFor()
  await world.relay.kill()
  await world.e2e.startRelay()
  await ada.tab.reload()
  await ada.state.filter({ hasText: /^Joined/ }).waitFor({ timeout: 30_000 })
  await ada.openKey('diary')
  await ada.entry.getByText('dear diary').waitFor()
  assert.equal(await ada.knowledge.getByText('not kept').count(), 0)
})

test('where a store cannot be had a page joins all the same, and says that it keeps nothing', LIMIT, async t => {
  const world = await startWorld(t)
  const within = await world.browser.newContext({ locale: 'en-GB' })
  const first = await world.page({ within, fragment: world.invitation })
  await first.join({ name: 'ada' })
  const second = await world.page({ within, fragment: world.invitation })
  await second.join({ name: 'bob' })
  assert.notEqual(first.peerId, second.peerId)
  for (const page of [first, second]) assert.equal(await page.knowledge.getByText('not kept').count(), 0, 'each tab has a store of its own')
  await Promise.all([first.tab.waitForEvent('close'), first.close()])

  const { tab } = await world.tab('/test/agent.html', { within })
  await tab.evaluate(peerId => new Promise(held => {
    navigator.locks.request(`neural-mesh/store/open/${peerId}`, () => new Promise(() => held()))
  }), first.peerId)
  const again = await world.page({ within, fragment: world.invitation })
  await again.join({ name: 'ada' })
  assert.equal(again.peerId, first.peerId)
  await again.knowledge.getByText('not kept: after a reload this page asks the others again').waitFor()
})

test('keys and entries are reached by keyboard, and closing one leads back to its key', LIMIT, async t => {
  const { ada, nora } = await company(t)
  await nora.run(async ({ mesh }) => {
    await mesh.knowledge.put('one', '1')
    await mesh.knowledge.put('two', '2')
  })
  await ada.key('two').waitFor()
  const { tab } = ada
  await ada.knowledge.getByRole('searchbox', { name: 'Keys that begin with' }).fill('o')
  await ada.key('two').waitFor({ state: 'detached' })
  await tab.keyboard.press('Tab')
  await tab.keyboard.press('Tab')
  await tab.keyboard.press('Enter')
  await tab.waitForFunction(() => document.activeElement.id === 'entry-title')
  await tab.keyboard.press('Tab')
  await tab.keyboard.press('Enter')
  await tab.waitForFunction(() => document.activeElement.dataset.key === 'one')
  await ada.entry.waitFor({ state: 'detached' })
})

test('more keys than are shown are counted, and found', LIMIT, async t => {
  const { ada, nora } = await company(t)
  await nora.run(async ({ mesh }) => {
    for (let i = 0; i < 130; i++) await mesh.knowledge.put(`many/${i}`, i, { waitMs: 0 })
  })
  await ada.knowledge.getByText('30 older keys more: search for them.').waitFor()
  assert.equal(await ada.knowledge.locator('.keys li').count(), 100)
  await ada.knowledge.getByRole('searchbox').fill('many/12')
  await until(async () => (await ada.knowledge.locator('.keys li').count()) === 11, { what: 'many/12 and many/120 to 129' })
})

// Two pages and an agent in Node.js in an open mesh, who all know each other.
async function company(t) {
  const world = await startWorld(t)
  const nora = await world.nodeAgent('nora')
  const [ada, bob] = await Promise.all(['ada', 'bob'].map(name => world.joinedPage(name)))
  const ids = [nora, ada, bob].map(({ id }) => id)
  await Promise.all([knows(nora, ids), ...[ada, bob].map(page => page.sees(...ids.filter(id => id !== page.id)))])
  return { world, ada, bob, nora }
}
