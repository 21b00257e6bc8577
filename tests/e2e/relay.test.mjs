// The life of a relay, seen from its agents: it goes and comes back, or is not there at all.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { relayBinary } from '../../scripts/lib/relay.mjs'
import { writeCertificate } from './lib/certificate.mjs'
import { acquaint, knows, seen, startMesh } from './lib/mesh.mjs'
import { Program } from './lib/program.mjs'
import { Relay } from './lib/relay.mjs'

const LIMIT = { timeout: 60_000 }
const SIZE = 10 * 1000 * 1000

test('when the relay is killed and started again, agents come back and everything flows', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await ada.run(({ mesh }, to) => mesh.send(to, 'before'), bob.id)
  const { peerId, port } = world.relay

  await world.relay.kill()
  await Promise.all([ada, bob].map(agent => seen(agent, 'relay-disconnected', { peerId })))
  assert.equal(await ada.run(({ mesh }) => mesh.connected), false)
  const during = ada.run(({ mesh }, to) => mesh.send(to, 'during', { timeoutMs: 40_000 }), bob.id)
  await world.startRelay()
  assert.deepEqual([world.relay.peerId, world.relay.port], [peerId, port], 'the same relay')

  await during
  await ada.run(({ mesh }, to) => mesh.send(to, 'after'), bob.id)
  await bob.run(({ mesh }, to) => mesh.send(to, 'back'), ada.id)
  assert.deepEqual(await payloadsOf(bob, 'messages', 3), ['before', 'during', 'after'])
  assert.deepEqual(await payloadsOf(ada, 'messages', 1), ['back'])
  await Promise.all([ada, bob].map(agent => seen(agent, 'relay-connected', { peerId })))
  assert.equal(await ada.run(({ mesh }) => mesh.connected), true)

  const late = await world.agent('late')
  await acquaint(ada, bob, late)
  await ada.run(({ mesh }) => mesh.broadcast('to everybody'))
  for (const agent of [bob, late]) assert.deepEqual(await payloadsOf(agent, 'broadcasts', 1), ['to everybody'])
})

test('an agent that is announced while the relay is away is known when it is back', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  await world.relay.kill()
  await seen(ada, 'relay-disconnected')
  await ada.run(({ mesh }) => mesh.agents.announce({ id: 'new', capabilities: ['digits'] }))
  await world.startRelay()
  await knows(bob, [ada.id, `new@${ada.peerId}`])
})

test('a relay that is told to stop says so, and its agents live on', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  assert.deepEqual(await world.relay.end(), { code: 0, signal: null })
  await Promise.all([ada, bob].map(agent => seen(agent, 'relay-disconnected')))
  await world.startRelay()
  await ada.run(({ mesh }, to) => mesh.send(to, 'still here', { timeoutMs: 30_000 }), bob.id)
  assert.deepEqual(await payloadsOf(bob, 'messages', 1), ['still here'])
})

test('agents of two relays that do not know each other meet when one agent uses both', LIMIT, async t => {
  const world = await startMesh(t)
  const second = await Relay.start({ dir: world.dir, mesh: world.mesh, key: 'second.key' })
  t.after(() => second.end())
  const both = await world.process()
  const relays = [world.relay.address, second.address]
  await both.join(world, 'both', { relays })
  const [ada, bob] = await Promise.all([world.agent('ada'), world.agent('bob', { relays: second.address })])
  await acquaint(both, ada)
  await acquaint(both, bob)
  await both.run(async ({ mesh }, ada, bob) => {
    await mesh.send(ada, 'one')
    await mesh.send(bob, 'two')
  }, ada.id, bob.id)

  // One of its relays goes: the other agents go on.
  await world.relay.kill()
  await seen(both, 'relay-disconnected')
  await both.run(({ mesh }, bob) => mesh.send(bob, 'three'), bob.id)
  assert.deepEqual(await payloadsOf(bob, 'messages', 2), ['two', 'three'])
})

test('joinMesh says relay-unreachable, names the address and what to do', LIMIT, async t => {
  const world = await startMesh(t)
  const [nowhere, silent] = await Promise.all([freePort(), silentPort(t)])
  const [other, process] = await Promise.all([world.agent('other'), world.process()])
  for (const [why, relays] of [
    ['nobody listens', world.relay.addressBy(nowhere)],
    ['somebody listens and says nothing', world.relay.addressBy(silent)],
    ['it is another relay than the one named', world.relay.address.replace(world.relay.peerId, other.peerId)],
  ]) {
    const error = await join(process, world.mesh, { relays, timeoutMs: 2000 })
    assert.equal(error.code, 'relay-unreachable', why)
    assert.ok(error.message.includes(relays), `${why}: ${error.message}`)
    assert.match(error.message, /2000 ms/)
    assert.match(error.message, /Check that the relay runs \(mesh-relay --mesh e2e\)/)
    assert.deepEqual(error.details, { relays: [relays], connected: false }, why)
  }
})

test('joinMesh with the name of another mesh says that the relay does not serve it', LIMIT, async t => {
  const world = await startMesh(t)
  const process = await world.process()
  const error = await join(process, 'another', { relays: world.relay.address, timeoutMs: 3000 })
  assert.equal(error.code, 'relay-unreachable')
  assert.ok(error.message.includes(world.relay.address), error.message)
  assert.match(error.message, /mesh 'another'/)
  assert.match(error.message, /Check that the relay serves this mesh: mesh-relay --mesh another/)
  assert.equal(error.details.connected, true)
  assert.equal(await world.relay.healthy(), true)
})

test('an address that cannot work is invalid-argument at once', LIMIT, async t => {
  const world = await startMesh(t)
  const process = await world.process()
  const { address, port } = world.relay
  const withoutId = address.slice(0, address.indexOf('/p2p/'))
  for (const relays of [`ws://127.0.0.1:${port}`, withoutId, address.replace('/ws', ''), [], undefined]) {
    const error = await join(process, world.mesh, { relays, timeoutMs: 20_000 })
    assert.equal(error.code, 'invalid-argument', JSON.stringify(relays))
    if (typeof relays === 'string') assert.ok(error.message.includes(relays), error.message)
  }
})

test('an aborted joinMesh rejects at once', LIMIT, async t => {
  const world = await startMesh(t)
  const relays = world.relay.addressBy(await freePort())
  const process = await world.process()
  const joining = process.run(({ joinMesh }, name, relays) => {
    return joinMesh(name, { relays, timeoutMs: 60_000, signal: AbortSignal.timeout(100) })
  }, world.mesh, relays)
  await assert.rejects(joining, { code: 'aborted' })
})

test('the relay counts what passes through it between two agents, and what it says to them itself it does not', LIMIT, async t => {
  const world = await startMesh(t)
  const relayed = () => world.relay.metric('mesh_relay_relayed_bytes_total')
  await world.agent('alone', { webrtc: false })
  assert.equal(await relayed(), 0, 'joining is no circuit')

  const join = name => world.agent(name, { webrtc: false })
  const [ada, bob] = await Promise.all([join('ada'), join('bob')])
  await acquaint(ada, bob)
  const before = await relayed()
  await ada.run(({ mesh }, to, size) => {
    return mesh.weights.share(to, { agentId: 'ada', data: new Uint8Array(size) })
  }, bob.id, SIZE)
  const moved = (await relayed()) - before
  assert.ok(moved >= SIZE, `${moved} bytes`)
  assert.ok(moved < 1.1 * SIZE, `${moved} bytes`)
  t.diagnostic(`${moved} bytes for ${SIZE}`)
})

test('agents join by wss when they trust the certificate, and not when they do not', LIMIT, async t => {
  const world = await startMesh(t)
  const { certificate, key } = writeCertificate(world.dir)
  const secure = await startSecure(t, world, ['--tls-certificate', certificate, '--tls-key', key])
  const stranger = await world.process()
  const error = await join(stranger, world.mesh, { relays: secure, timeoutMs: 2000 })
  assert.equal(error.code, 'relay-unreachable')

  process.env.NODE_EXTRA_CA_CERTS = certificate
  t.after(() => delete process.env.NODE_EXTRA_CA_CERTS)
  const relays = secure.replace('/ip4/127.0.0.1/', '/dns4/localhost/')
  const [ada, bob] = await Promise.all(['ada', 'bob'].map(name => world.agent(name, { relays: name === 'ada' ? relays : secure })))
  await acquaint(ada, bob)
  await ada.run(({ mesh }, to) => mesh.send(to, 'secret'), bob.id)
  assert.deepEqual(await payloadsOf(bob, 'messages', 1), ['secret'])
})

test('the relay tells everybody who asks by STUN under which address it sees them', LIMIT, async t => {
  const world = await startMesh(t)
  const lines = await started(t, world, ['--listen', '/ip4/127.0.0.1/tcp/0/ws', '--stun', '127.0.0.1:0'])
  const [, host, port] = /^stun:(.*):(\d+)$/.exec(lines.find(({ event }) => event === 'stun').address)
  const socket = createSocket('udp4')
  t.after(() => socket.close())
  const request = Buffer.from('000100002112a442000102030405060708090a0b', 'hex')
  socket.send(request, Number(port), host)
  const [answer] = await once(socket, 'message')
  assert.equal(answer.toString('hex', 0, 26), '0101000c2112a442000102030405060708090a0b002000080001')
  assert.equal(answer.readUInt16BE(26) ^ 0x2112, socket.address().port)
  assert.deepEqual([...answer.subarray(28)].map((byte, i) => byte ^ request[4 + i]), [127, 0, 0, 1])
})

// Starts another relay of the same mesh with a secure listener. Resolves to its address.
async function startSecure(t, world, args) {
  const lines = await started(t, world, ['--listen', '/ip4/127.0.0.1/tcp/0/wss', '--stun', 'off', ...args])
  return lines.find(({ event }) => event === 'listening').address
}

// Starts another relay of the same mesh. Resolves to what it says until it is ready.
async function started(t, world, args) {
  const key = ['--key', `${world.dir}/another.key`]
  const program = Program.spawn(relayBinary(), ['--json', '--mesh', world.mesh, '--http', 'off', '--no-mdns', ...key, ...args])
  t.after(() => program.end())
  const lines = []
  for await (const line of program.lines()) {
    lines.push(JSON.parse(line))
    if (lines.at(-1).event === 'ready') return lines
  }
  throw new Error(`the relay ended before it was ready: ${program.stderr}`)
}

// The error that joinMesh rejects with.
async function join(process, name, options) {
  const joining = process.run(({ joinMesh }, name, options) => joinMesh(name, options).then(() => {}), name, options)
  return joining.then(() => assert.fail('it has joined'), error => error)
}

function payloadsOf(agent, kind, count) {
  return agent.run(async ({ log, until }, kind, count) => {
    await until(() => log[kind].length >= count, { what: () => `${count} ${kind}; there are ${log[kind].length}` })
    return log[kind].map(({ payload }) => payload)
  }, kind, count)
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

// A port that takes connections and never answers.
async function silentPort(t) {
  const sockets = new Set()
  const server = createServer(socket => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return server.address().port
}
