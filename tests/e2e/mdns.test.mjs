// Node hosts with an open port answer mDNS on the local network. The one who looks is the relay, by way of rust-libp2p, and
// the package multicast-dns, which knows nothing of libp2p.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import multicastDns from 'multicast-dns'
import { acquaint, startMesh, until } from './lib/mesh.mjs'
import { Program } from './lib/program.mjs'
import { Relay } from './lib/relay.mjs'

const GROUP = '224.0.0.251'
const PORT = 5353
const SERVICE = '_p2p._udp.local'
const LISTEN = '/ip4/0.0.0.0/tcp/0/ws'
const LEAVE = fileURLToPath(new URL('lib/leave.mjs', import.meta.url))

// The address of the interface that multicasts leave by.
const here = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal)?.address
const LIMIT = { timeout: 60_000, skip: await whyNot() }

test('a relay finds whoever listens with mdns: when it starts, and later without asking again', LIMIT, async t => {
  const world = await startMesh(t)
  const early = await world.agent('early', { listenOn: LISTEN, mdns: true })
  const silent = await world.agent('silent', { listenOn: LISTEN })
  // None of them has its address: it has to come to them.
  const finder = await Relay.start({ dir: world.dir, mesh: 'another', key: 'finder.key', mdns: true })
  t.after(() => finder.end())
  await until(() => early.run(linked, finder.peerId), { what: 'the relay has come' })
  assert.ok((await finder.metric('mesh_relay_mdns_found_total')) >= 1)
  assert.equal(await silent.run(linked, finder.peerId), false)
  // As it has found one, its next question is five minutes away.
  const late = await world.agent('late', { listenOn: LISTEN, mdns: true })
  await until(() => late.run(linked, finder.peerId), { what: 'the relay has come to the second' })
})

test('questions get one answer a second, with where it listens, but not loopback', LIMIT, async t => {
  const world = await startMesh(t)
  const host = await world.agent('host', { listenOn: [LISTEN, '/ip4/127.0.0.1/tcp/0/ws'], mdns: true })
  const listening = await host.run(({ mesh }) => mesh.listening)
  assert.ok(listening.some(address => address.startsWith('/ip4/127.')))
  const lan = listening.filter(address => address.startsWith(`/ip4/${here}/`))
  assert.equal(lan.length, 1)

  const network = look(t)
  const heard = () => network.from(host.peerId)
  const asking = setInterval(() => network.query(SERVICE, 'PTR'), 20)
  t.after(() => clearInterval(asking))
  await until(() => heard().length >= 4, { what: 'four answers' })
  clearInterval(asking)

  const { answers, additionals, ...header } = heard()[0]
  assert.deepEqual([header.id, header.flag_aa, header.rcode], [0, true, 'NOERROR'])
  const peer = answers.find(({ name }) => name === SERVICE)
  assert.match(peer.data, /^[0-9a-z]{32,63}\._p2p\._udp\.local$/)
  assert.deepEqual([peer.type, peer.ttl, peer.flush], ['PTR', 360, false])
  const of = type => additionals.find(record => record.type === type)
  assert.deepEqual([of('TXT').name, of('TXT').data.map(String)], [peer.data, lan.map(address => `dnsaddr=${address}`)])
  assert.deepEqual([of('SRV').name, of('SRV').data.port], [peer.data, Number(/\/tcp\/(\d+)\//.exec(lan[0])[1])])
  assert.deepEqual([of('A').name, of('A').data], [of('SRV').data.target, here])
  heard().reduce((last, { at }) => {
    // Both ends' timers and the way here are a little off.
    assert.ok(at - last > 900, `${at - last} ms between two answers`)
    return at
  }, -Infinity)

  // By whatever name it is asked, in whatever case.
  for (const name of ['_services._dns-sd._udp.local', peer.data.toUpperCase(), of('A').name]) {
    const had = heard().length
    network.query(name, 'ANY')
    await until(() => heard().length > had, { what: `an answer to ${name}` })
  }
})

test('what is none of its business, or no DNS at all, gets no answer and does no harm', LIMIT, async t => {
  const world = await startMesh(t)
  const network = look(t)
  const host = await world.agent('host', { listenOn: LISTEN, mdns: true })
  const guest = await world.agent('guest')
  await acquaint(host, guest)
  const heard = () => network.from(host.peerId).length
  await until(() => heard() >= 2, { what: 'what it says unasked when it starts' })

  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  t.after(() => socket.close())
  await once(socket.bind(0), 'listening')
  const question = Buffer.from('000100000001000000000000' + '045f703270045f756470056c6f63616c00' + '000c0001', 'hex')
  const changed = (offset, value) => Buffer.from(question).fill(value, offset, offset + 1)
  const hostile = [
    Buffer.alloc(0),
    Buffer.alloc(11),
    Buffer.alloc(1472, 0xff),
    question.subarray(0, 20),
    // A response, an update, and a name that is its own continuation.
    changed(2, 0x84),
    changed(2, 0x28),
    Buffer.concat([question.subarray(0, 12), Buffer.from('c00c000c0001', 'hex')]),
    // Fewer questions than it says, about somebody else; and the right one in a datagram that is too long.
    changed(5, 255).fill(0x71, 14, 17),
    Buffer.concat([question, Buffer.alloc(8000)]),
    ...Array.from({ length: 500 }, (_, i) => noise(i)),
  ]
  // Others may ask as well, and rightly get an answer; then it is tried again.
  const asked = () => network.questions.filter(({ port }) => port !== socket.address().port).length
  for (let before = NaN; asked() !== before; ) {
    before = asked()
    // Longer than an answer that is due is put off.
    await sleep(1300)
    const had = heard()
    for (const datagram of hostile) await new Promise(resolve => socket.send(datagram, PORT, GROUP, resolve))
    await sleep(500)
    if (asked() === before) assert.equal(heard(), had)
  }
  const had = heard()
  socket.send(question, PORT, GROUP)
  await until(() => heard() > had, { what: 'an answer' })
  const { roundTripMs } = await guest.run(({ mesh }, to) => mesh.send(to, 'still there?'), host.id)
  assert.ok(roundTripMs >= 0)
})

test('closing the mesh frees the socket, and the process ends', LIMIT, async t => {
  const world = await startMesh(t)
  const host = await world.agent('host', { listenOn: LISTEN, mdns: true })
  const before = await host.run(async ({ mesh, until }) => {
    const udp = () => process.getActiveResourcesInfo().filter(name => name === 'UDPWrap').length
    const before = udp()
    await mesh.close()
    await until(() => udp() === 0, { what: 'the socket is gone', limitMs: 1000 })
    return before
  })
  assert.ok(before > 0)

  const program = Program.spawn(process.execPath, [LEAVE, 'mdns', world.mesh, world.relay.address])
  t.after(() => program.kill())
  const { value } = await program.lines().next()
  assert.equal(value, 'left')
  const leftAt = performance.now()
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.stderr)
  assert.ok(performance.now() - leftAt < 2000)
})

test('who listens on loopback only is told that nobody will find it, and joins', { timeout: 60_000 }, async t => {
  const world = await startMesh(t)
  const host = await world.agent('host', { listenOn: '/ip4/127.0.0.1/tcp/0/ws', mdns: true })
  await until(() => host.stderr.includes('NEURAL_MESH_NO_MDNS'), { what: 'a warning' })
  assert.match(host.stderr, /it listens at no IPv4 address but loopback/)
  assert.ok(await host.run(({ mesh }) => mesh.connected))
})

// In the process of an agent.
async function linked({ mesh }, peerId) {
  return (await mesh.health.topology()).links.some(link => link.peerId === peerId)
}

// Asks on the network, and keeps what is said there from now on.
function look(t) {
  const network = multicastDns({ bind: '0.0.0.0', interface: here })
  t.after(() => new Promise(resolve => network.destroy(resolve)))
  const responses = []
  network.on('response', response => responses.push({ ...response, at: performance.now() }))
  network.questions = []
  network.on('query', (_, from) => network.questions.push(from))
  // What one peer has said; others may be there too.
  network.from = peerId =>
    responses.filter(({ additionals }) => {
      const texts = additionals.filter(({ type }) => type === 'TXT').flatMap(({ data }) => data.map(String))
      return texts.some(text => text.endsWith(`/p2p/${peerId}`))
    })
  return network
}

// A datagram that looks a little like a question, and no two alike.
function noise(seed) {
  const bytes = Buffer.alloc(12 + ((seed * 37) % 600))
  let state = seed + 1
  for (let i = 12; i < bytes.length; i++) bytes[i] = state = (state * 1103515245 + 12345) & 0x7fffffff
  bytes.writeUInt16BE(seed % 40, 4)
  return bytes
}

// Why there is no multicast here; `false` when there is.
async function whyNot() {
  if (here === undefined) return 'this machine is on no network'
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  try {
    socket.bind(PORT)
    await once(socket, 'listening')
    socket.addMembership(GROUP, here)
    socket.setMulticastInterface(here)
    const heard = new Promise(resolve => socket.on('message', data => String(data) === here && resolve(true)))
    socket.send(here, PORT, GROUP)
    return (await Promise.race([heard, sleep(2000, false, { ref: false })])) ? false : `multicasts on ${here} do not come back`
  } catch (error) {
    return `no multicast on ${here}: ${error.message}`
  } finally {
    socket.close()
  }
}
