// Pages that know a relay by its /webrtc-direct address only: no WebSocket, no name, no certificate that anybody vouches
// for.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { startWorld } from './lib/world.mjs'

const LIMIT = { timeout: 120_000 }

test('a page joins, then two at once, and they talk', LIMIT, async t => {
  const world = await startDirect(t)
  const ada = await join(world, 'ada')
  const [bob, cyd] = await Promise.all(['bob', 'cyd'].map(id => join(world, id)))
  await talk(ada, bob, cyd)
  assert.equal(sockets(world), 0, 'nobody used a WebSocket')
  t.diagnostic(`the first was connected ${await connectMs(ada)} ms after it had asked`)
  assert.deepEqual(await world.relay.offences(), {})
})

test('ten pages join at once', LIMIT, async t => {
  const world = await startDirect(t)
  const pages = await Promise.all(Array.from({ length: 10 }, (_, at) => join(world, `page-${at}`)))
  const took = await Promise.all(pages.map(connectMs))
  t.diagnostic(`connected after ${took.sort((a, b) => a - b).join(', ')} ms`)
  // Whoever joined last is known by all.
  await Promise.all(pages.map(page => page.until(async () => (await mesh.agents.list()).length >= 10)))
  await pages[3].run(() => mesh.broadcast('to all'))
  await Promise.all(pages.filter((_, at) => at !== 3).map(page => page.until(() => log.broadcasts.length === 1)))
  assert.equal(sockets(world), 0, 'nobody used a WebSocket')
})

test('two pages go on to a connection of their own, signalled by it', LIMIT, async t => {
  const world = await startDirect(t)
  const [ada, bob] = await Promise.all(['ada', 'bob'].map(id => join(world, id)))
  await Promise.all([ada.connectsTo(bob), bob.connectsTo(ada)])
  await talk(ada, bob)
  assert.equal(sockets(world), 0, 'nobody used a WebSocket')
})

test('pages come back to a relay that was started again', LIMIT, async t => {
  const world = await startDirect(t)
  const pages = await Promise.all(['ada', 'bob'].map(id => join(world, id)))
  const before = address(world)
  const killed = performance.now()
  await world.relay.kill()
  await world.e2e.startRelay()
  assert.equal(address(world), before, 'the same address, with the same hash')
  const back = () => {
    const types = log.events.map(event => event.type)
    return types.includes('relay-disconnected') && types.lastIndexOf('relay-connected') > types.lastIndexOf('relay-disconnected')
  }
  // A relay that knows nothing of a connection refuses what is asked on it; to miss the answers would take 17 s.
  await Promise.all(pages.map(page => page.tab.waitForFunction(back, undefined, { timeout: 10_000 })))
  t.diagnostic(`back ${Math.round(performance.now() - killed)} ms after it was killed`)
  await talk(...pages, await join(world, 'carol'))
})

test('where Chromium refuses changed descriptions, pages join all the same', LIMIT, async t => {
  const world = await startDirect(t, { args: ['--force-fieldtrials=WebRTC-NoSdpMangleUfrag/Enabled/'] })
  const { tab } = await world.tab('/test/agent.html')
  assert.equal(await tab.evaluate(dialByVersion1, target(world)), 'InvalidModificationError', 'it does refuse them')
  const [ada, bob] = await Promise.all(['ada', 'bob'].map(id => join(world, id)))
  await talk(ada, bob)
})

test('a client of version 1 is answered, and asked who it is', LIMIT, async t => {
  const world = await startDirect(t)
  const { tab } = await world.tab('/test/agent.html')
  // Noise's first message: its length, then a key of 32 bytes; in a frame of our framing.
  assert.deepEqual(await tab.evaluate(dialByVersion1, target(world)), [36, 0x12, 34, 0, 32])
})

test('ten megabytes come and go by it', LIMIT, async t => {
  const world = await startDirect(t)
  const nora = await world.nodeAgent('nora', { webrtc: false })
  const ada = await join(world, 'ada')
  const share = ({ mesh }, to) => mesh.weights.share(to, { agentId: 'nora', data: new Uint8Array(10_000_000).fill(7) })
  const began = performance.now()
  await ada.run(to => mesh.weights.share(to, { agentId: 'ada', data: new Uint8Array(10_000_000).fill(7) }), nora.id)
  const half = performance.now()
  await nora.run(share, ada.id)
  await ada.until(() => log.weights.length === 1 && log.weights[0].data.length === 10_000_000)
  const mbps = ms => (10_000 / ms).toFixed(1)
  t.diagnostic(`from the page ${mbps(half - began)} MB/s, to the page ${mbps(performance.now() - half)} MB/s`)
})

async function startDirect(t, options) {
  const listen = [`/ip4/127.0.0.1/udp/${await freePort()}/webrtc-direct`]
  return startWorld(t, { listen, ...options })
}

const address = world => world.relay.addresses.find(address => address.includes('/webrtc-direct/'))

function join(world, id, options) {
  return world.browserAgent({ id }, { init: observe, join: { relays: address(world), ...options } })
}

// WebSockets that the tabs have asked for.
const sockets = world => world.requests.filter(url => url.startsWith('ws')).length

// From the first peer connection that a page has made to its being connected.
const connectMs = agent => agent.run(() => Math.round(globalThis.connected - globalThis.asked))

// Notes in a tab when its first peer connection is made, and when it is connected.
function observe() {
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args)
      globalThis.asked ??= performance.now()
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'connected') globalThis.connected ??= performance.now()
      })
    }
  }
}

// Each tells the next one something, and one of them all others.
async function talk(...pages) {
  for (const [at, page] of pages.entries()) {
    const next = pages[(at + 1) % pages.length]
    const text = `from ${page.id} ${Math.random()}`
    await page.run(([to, text]) => mesh.send(to, text), [next.id, text])
    await next.until(text => log.messages.some(message => message.payload === text), text)
  }
  const text = `to all ${Math.random()}`
  await pages[0].run(text => mesh.broadcast(text), text)
  await Promise.all(pages.slice(1).map(page => page.until(text => log.broadcasts.some(broadcast => broadcast.payload === text), text)))
}

// What a client has to know of the relay: { port, fingerprint }, the latter as SDP writes it.
function target(world) {
  const [, port, hash] = /\/udp\/(\d+)\/webrtc-direct\/certhash\/u([^/]+)\//.exec(address(world))
  // The first two bytes say that it is a SHA-256.
  const bytes = Buffer.from(hash, 'base64url').subarray(2)
  return { port, fingerprint: [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join(':') }
}

// Dials in a tab as version 1 of the protocol says. Resolves to the first bytes of the first frame, or an error's name.
async function dialByVersion1({ port, fingerprint }) {
  const peer = new RTCPeerConnection()
  try {
    const channel = peer.createDataChannel('', { negotiated: true, id: 0 })
    channel.binaryType = 'arraybuffer'
    const message = new Promise(resolve => channel.addEventListener('message', resolve, { once: true }))
    const { sdp } = await peer.createOffer()
    const both = `libp2p+webrtc+v1/${crypto.randomUUID().replaceAll('-', '')}`
    const changed = sdp.replace(/a=ice-ufrag:.*/, `a=ice-ufrag:${both}`).replace(/a=ice-pwd:.*/, `a=ice-pwd:${both}`)
    await peer.setLocalDescription({ type: 'offer', sdp: changed })
    const lines = [
      ...['v=0', 'o=- 0 0 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite', `m=application ${port} UDP/DTLS/SCTP webrtc-datachannel`],
      ...['c=IN IP4 127.0.0.1', 'a=mid:0', `a=ice-ufrag:${both}`, `a=ice-pwd:${both}`, `a=fingerprint:sha-256 ${fingerprint}`],
      ...['a=setup:passive', 'a=sctp-port:5000', 'a=max-message-size:16384', `a=candidate:1 1 UDP 1 127.0.0.1 ${port} typ host`],
    ]
    await peer.setRemoteDescription({ type: 'answer', sdp: lines.join('\r\n') + '\r\n' })
    const { data } = await message
    return [...new Uint8Array(data).subarray(0, 5)]
  } catch (error) {
    return error.name
  } finally {
    peer.close()
  }
}

async function freePort() {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  await new Promise(resolve => socket.close(resolve))
  return port
}
