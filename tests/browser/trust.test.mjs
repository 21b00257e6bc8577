// What others send is text, and nothing leaves but to the relay.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 60_000 }
const EVIL = '<img src=x onerror=hacked=1>'
const LONG = `${'W'.repeat(60)}`

test('names, capabilities and messages of others are text, whatever stands in them', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.joinedPage('ada', { viewport: { width: 390, height: 800 } })
  const agent = { id: EVIL, type: '<script>hacked=2</script>', capabilities: ['<b>bold</b>', '"><svg onload=hacked=3>', '\u202etxt.exe'] }
  const mallory = await world.browserAgent(agent)
  await mallory.run(id => mesh.agents.announce({ id, type: 'x' }), LONG)
  await ada.sees(mallory.id)
  await ada.agent(`${LONG}@${mallory.peerId}`).waitFor()
  await mallory.run(
    async ([to, from]) => {
      await mesh.send(to, '<script>hacked=4</script><a href="javascript:hacked=5">click</a>', { from })
      await mesh.send(to, { html: '<iframe srcdoc="<script>parent.hacked=6</script>">' }, { from })
      await mesh.send(to, 'x'.repeat(50_000), { from })
      await mesh.broadcast('<style>*{display:none}</style>', { topic: '<u>topic</u>' })
      await mesh.weights.share(to, { agentId: from, name: '../../<img src=x onerror=hacked=7>.html', data: new TextEncoder().encode('<script>hacked=8</script>') })
    },
    [ada.id, EVIL],
  )
  await ada.broadcasts.getByText('<style>*{display:none}</style>').waitFor()
  await ada.agent(mallory.id).click()
  await ada.messages.getByText('<script>hacked=4</script>').waitFor()
  await ada.messages.getByText('<iframe srcdoc=').waitFor()
  // Two agents live there, so the file is the node's.
  await ada.agent(mallory.peerId).click()
  await ada.messages.locator('.file').getByRole('link', { name: 'Download' }).waitFor()
  await ada.tab.getByRole('button', { name: 'Table' }).click()
  await ada.tab.getByRole('cell', { name: EVIL }).waitFor()

  const strange = 'img, iframe, style:not(head *), script:not(head *), b, u, a:not([download]), [onload], [onerror]'
  assert.equal(await ada.tab.locator('#app').locator(strange).count(), 0)
  assert.equal(await ada.tab.evaluate(() => globalThis.hacked), undefined)
  const width = await ada.tab.evaluate(() => document.documentElement.scrollWidth)
  assert.equal(width, 390, 'long words wrap')
})

test('a flood of messages from invented senders is bounded', LIMIT, async t => {
  const world = await startWorld(t)
  const ada = await world.joinedPage('ada')
  const mallory = await world.browserAgent({ id: 'mallory' })
  await ada.sees(mallory.id)
  await mallory.run(async to => {
    const send = i => mesh.send(to, `number ${i}`, { from: 'mallory' })
    for (let i = 0; i < 700; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => send(i + j)))
    await mesh.send(to, 'the last')
  }, ada.id)
  await ada.agent(mallory.id).click()
  await ada.messages.getByText('number 699', { exact: true }).waitFor()
  assert.equal(await ada.messages.locator('.said').count(), 500, 'the oldest are gone')
  // What the node says itself, and not as an agent that we know, is kept with the node.
  await ada.agent(mallory.peerId).click()
  await ada.messages.getByText('the last').waitFor()
})

test('nothing is asked for elsewhere: all requests go to the server of the page and to the relay', LIMIT, async t => {
  const world = await startWorld(t)
  const [ada, bob] = await Promise.all(['ada', 'bob'].map(name => world.joinedPage(name)))
  await Promise.all([ada.sees(bob.id), bob.sees(ada.id)])
  await ada.send(bob.id, 'https://example.org/ //example.org/x.png')
  await ada.drop(ada.conversation, { name: 'a.bin', data: Buffer.alloc(1000) })
  await ada.messages.locator('.file', { hasText: 'delivered' }).waitFor()
  const relay = `ws://127.0.0.1:${world.relay.port}/`
  for (const { watch } of [ada, bob]) {
    const strange = watch.requests.filter(url => !url.startsWith(`${world.server.origin}/`) && url !== relay && !url.startsWith('blob:'))
    assert.deepEqual(strange, [])
    assert.ok(watch.requests.includes(relay) && watch.requests.some(url => url.endsWith('.wasm')), `seen: ${watch.requests}`)
  }
})
