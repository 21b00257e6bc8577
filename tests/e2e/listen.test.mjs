// Node hosts with an open port listen, and others connect straight to them.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import WebSocket from 'ws'
import { acquaint, startMesh, until } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }

test('an agent that listens is reached without the relay, and the port is free when it has left', LIMIT, async t => {
  const world = await startMesh(t)
  const host = await world.agent('host', { listenOn: '/ip4/127.0.0.1/tcp/0/ws' })
  const [address, ...more] = await host.run(({ mesh }) => mesh.listening)
  assert.match(address, new RegExp(`^/ip4/127\\.0\\.0\\.1/tcp/\\d+/ws/p2p/${host.peerId}$`))
  assert.deepEqual(more, [])
  const guest = await world.agent('guest')
  await acquaint(host, guest)
  const before = await world.relay.metric('mesh_relay_relayed_bytes_total')
  await guest.run(({ mesh }, to) => mesh.weights.share(to, { agentId: 'guest', data: new Uint8Array(1_000_000) }), host.id)
  await host.run(({ mesh }, to) => mesh.send(to, 'thank you'), guest.id)
  assert.equal(await world.relay.metric('mesh_relay_relayed_bytes_total'), before)
  const links = await guest.run(async ({ mesh }) => (await mesh.health.topology()).links.filter(link => !link.relay))
  assert.deepEqual(links.map(({ peerId, relayed, address }) => ({ peerId, relayed, address })), [
    { peerId: host.peerId, relayed: false, address },
  ])

  await host.run(({ mesh }) => mesh.close())
  const port = Number(/\/tcp\/(\d+)\//.exec(address)[1])
  await until(async () => isFree(port), { what: `port ${port} is free` })
})

test('a port in use, and an address that is none, are told at once', LIMIT, async t => {
  const world = await startMesh(t)
  const process = await world.process()
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address()
  const refuse = async (listen, code, message) => {
    const error = await process.run(({ joinMesh }, name, options) => joinMesh(name, options).catch(({ code, message }) => ({ code, message })), world.mesh, {
      relays: world.relay.address,
      listen,
    })
    assert.equal(error.code, code)
    assert.match(error.message, message)
  }
  await refuse(`/ip4/127.0.0.1/tcp/${port}/ws`, 'invalid-argument', new RegExp(`cannot listen on /ip4/127.0.0.1/tcp/${port}/ws: .*EADDRINUSE`))
  await refuse('/ip4/127.0.0.1/tcp/0', 'invalid-argument', /listen must be multiaddrs of WebSockets/)
})

test('an empty WebSocket message is not the end of a connection', LIMIT, async t => {
  const world = await startMesh(t)
  const host = await world.agent('host', { listenOn: '/ip4/127.0.0.1/tcp/0/ws' })
  const [address] = await host.run(({ mesh }) => mesh.listening)
  const socket = new WebSocket(`ws://127.0.0.1:${/\/tcp\/(\d+)\//.exec(address)[1]}/`)
  t.after(() => socket.terminate())
  const answer = once(socket, 'message')
  const closed = once(socket, 'close').then(() => assert.fail('the agent has closed it'))
  // Nobody waits for it any more when the test is over.
  closed.catch(() => {})
  await once(socket, 'open')
  // As js-libp2p does, in the midst of what follows.
  socket.send('\x13/multistream/1.0.0\n'.slice(0, 5), { binary: true })
  socket.send(Buffer.alloc(0))
  socket.send('\x13/multistream/1.0.0\n'.slice(5), { binary: true })
  const [greeting] = await Promise.race([answer, closed])
  assert.equal(greeting.toString(), '\x13/multistream/1.0.0\n')
})

async function isFree(port) {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
