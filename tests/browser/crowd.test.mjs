// Six pages and two Node agents in one mesh.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { knows, seen } from '../e2e/lib/mesh.mjs'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 120_000 }
const NOTICED_MS = 10_000

test('six pages and two Node agents: all see all, all hear all, and all notice who goes', LIMIT, async t => {
  const world = await startWorld(t)
  const pages = await Promise.all(Array.from({ length: 6 }, (_, n) => world.browserAgent({ id: `page-${n}` })))
  const nodes = await Promise.all(['north', 'south'].map(name => world.nodeAgent(name, { webrtc: true })))
  const everybody = [...pages, ...nodes]
  const ids = everybody.map(agent => agent.id)
  await Promise.all([...nodes.map(node => knows(node, ids)), ...pages.map(page => pageKnows(page, ids))])

  await Promise.all(everybody.map(agent => (pages.includes(agent) ? agent.run(say, agent.id) : agent.run(sayInNode, agent.id))))
  await Promise.all([
    ...pages.map(page => page.until(count => log.broadcasts.length >= count, everybody.length - 1)),
    ...nodes.map(node => node.run(({ log, until }, count) => until(() => log.broadcasts.length >= count), everybody.length - 1)),
  ])
  for (const agent of everybody) {
    const heard = pages.includes(agent)
      ? await agent.run(() => log.broadcasts.map(broadcast => broadcast.payload))
      : await agent.run(({ log }) => log.broadcasts.map(broadcast => broadcast.payload))
    assert.deepEqual(heard.sort(), ids.filter(id => id !== agent.id).sort(), `what ${agent.id} heard`)
  }

  const [gone, ...rest] = pages
  const closed = performance.now()
  await gone.close()
  await Promise.all([...rest.map(page => pageMisses(page, gone)), ...nodes.map(node => nodeMisses(node, gone))])
  const took = Math.round(performance.now() - closed)
  const links = await rest[0].run(async () => (await mesh.health.topology()).links.filter(link => !link.relay))
  t.diagnostic(`noticed by all after ${took} ms; ${links.filter(link => !link.relayed).length} of ${links.length} links of a page direct`)
  assert.ok(took < NOTICED_MS, `noticed after ${took} ms`)
})

const say = id => mesh.broadcast(id)
const sayInNode = ({ mesh }, id) => mesh.broadcast(id)

function pageKnows(page, ids) {
  return page.run(async ids => {
    const known = async () => new Set((await mesh.agents.list()).map(agent => agent.id))
    while (!ids.every((set => id => set.has(id))(await known()))) await new Promise(resolve => setTimeout(resolve, 20))
  }, ids)
}

function pageMisses(page, { id, peerId }) {
  return page.until(([id, peerId]) => {
    const left = event => event.type === 'agent-left' && event.id === id
    return log.events.some(event => left(event) || (event.type === 'peer-suspected' && event.peerId === peerId))
  }, [id, peerId])
}

function nodeMisses(node, { id, peerId }) {
  return Promise.race([seen(node, 'agent-left', { id }), seen(node, 'peer-suspected', { peerId })])
}
