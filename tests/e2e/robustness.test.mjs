// What is no member of the mesh, and what does not end as it should, leaves the relay serving the others.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { test } from 'node:test'
import { acquaint, seen, startMesh, until } from './lib/mesh.mjs'

const LIMIT = { timeout: 60_000 }
// The example of RFC 6455, 1.3.
const [KEY, ACCEPT] = ['dGhlIHNhbXBsZSBub25jZQ==', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=']
const UPGRADE = [
  ...['GET / HTTP/1.1', 'Host: 127.0.0.1', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'],
  ...[`Sec-WebSocket-Key: ${KEY}`, '', ''],
].join('\r\n')

const strangers = {
  'random bytes': socket => socket.write(randomBytes(64 * 1024)),
  'an HTTP request': socket => socket.write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
  'an endless HTTP header': socket => {
    return flood(socket, 'GET / HTTP/1.1\r\n', () => `X-${randomBytes(512).toString('hex')}: x\r\n`)
  },
  'a TLS hello': socket => socket.write(Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), randomBytes(506)])),
  'a WebSocket that sends random bytes': async socket => {
    await upgraded(socket)
    socket.write(randomBytes(64 * 1024))
  },
  'a WebSocket that sends frames of random bytes': async socket => {
    await upgraded(socket)
    for (let i = 0; i < 16; i++) socket.write(frame(randomBytes(1024)))
  },
  'a WebSocket frame that claims to be huge': async socket => {
    await upgraded(socket)
    socket.write(Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]), randomBytes(1024)]))
  },
  'a WebSocket that negotiates and then sends random bytes': async socket => {
    await upgraded(socket)
    const lines = ['/multistream/1.0.0\n', '/noise\n'].flatMap(line => [Buffer.from([line.length]), Buffer.from(line)])
    socket.write(frame(Buffer.concat([...lines, randomBytes(4096)])))
  },
}

for (const [what, send] of Object.entries(strangers)) {
  test(`the relay goes on serving after ${what}`, LIMIT, async t => {
    const world = await startMesh(t)
    const [ada, bob] = await world.agents('ada', 'bob')
    const sockets = await Promise.all(Array.from({ length: 10 }, () => dial(t, world.relay.port)))
    await Promise.all(sockets.map(send))
    await stillServes(world, ada, bob)
  })
}

test('connections that are opened and never used do not keep others out', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const half = await Promise.all(Array.from({ length: 200 }, () => dial(t, world.relay.port)))
  await Promise.all(half.slice(0, 50).map(upgraded))
  await stillServes(world, ada, bob)
  await until(() => half.every(socket => socket.destroyed), { limitMs: 40_000, what: 'the relay hangs up' })
})

const onLinux = { ...LIMIT, skip: process.platform !== 'linux' && 'it reads /proc' }

test('connections that come and go leave no memory and no files behind', onLinux, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const { pid } = world.relay.program.child
  const round = async () => {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => dial(t, world.relay.port)))
    sockets.forEach(socket => socket.write(randomBytes(2048)))
    sockets.forEach(socket => socket.resetAndDestroy())
  }
  const filesBefore = files(pid)
  for (let i = 0; i < 5; i++) await round()
  const before = memory(pid)
  for (let i = 0; i < 20; i++) await round()
  await until(() => files(pid) <= filesBefore, { what: () => `${filesBefore} open files; there are ${files(pid)}` })
  const grown = memory(pid) - before
  await stillServes(world, ada, bob)
  t.diagnostic(`${Math.round(before / 1024)} MiB before, ${grown} KiB more after 2,000 connections`)
  assert.ok(grown < 16 * 1024, `${grown} KiB`)
})

test('agents that are killed leave the relay and the others as they were', LIMIT, async t => {
  const world = await startMesh(t)
  const [ada, bob] = await world.agents('ada', 'bob')
  const victims = await Promise.all(['carl', 'dora', 'eve'].map(name => world.agent(name)))
  await acquaint(ada, ...victims)
  await ada.run(async ({ mesh }, ids) => Promise.all(ids.map(id => mesh.send(id, 'hello'))), victims.map(({ id }) => id))
  await Promise.all(victims.map(victim => victim.kill()))
  for (const { peerId } of victims) await seen(ada, 'peer-disconnected', { peerId })
  await stillServes(world, ada, bob)
  const links = () => world.relay.metric('mesh_links')
  await until(async () => (await links()) === 3, { what: 'links to ada, bob and the newcomer only' })
})

// The relay is healthy, carries messages and broadcasts, and takes a newcomer in.
async function stillServes(world, ada, bob) {
  assert.equal(await world.relay.healthy(), true)
  assert.equal(world.relay.program.running, true)
  await ada.run(({ mesh }, to) => mesh.send(to, 'still there?'), bob.id)
  const newcomer = await world.agent('newcomer')
  await acquaint(ada, bob, newcomer)
  await newcomer.run(async ({ mesh }, to) => {
    await mesh.send(to, 'I am new')
    await mesh.broadcast('to everybody')
  }, ada.id)
  for (const agent of [ada, bob]) {
    await agent.run(({ log, until }) => until(() => log.broadcasts.length > 0))
    const lost = await agent.run(({ log }) => log.events.filter(({ type }) => type === 'relay-disconnected'))
    assert.deepEqual(lost, [], 'it has kept its link all the time')
  }
}

// A connection, closed when the test is over.
async function dial(t, port) {
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  // The relay may hang up while we write.
  socket.on('error', () => {})
  socket.resume()
  return socket
}

async function upgraded(socket) {
  const answered = once(socket, 'data')
  socket.write(UPGRADE)
  const [answer] = await answered
  assert.match(answer.toString('latin1'), /^HTTP\/1\.1 101 /)
  assert.ok(answer.includes(ACCEPT), answer.toString('latin1'))
}

// Writes as fast as the other end reads, 4 MiB at most or until it hangs up.
async function flood(socket, head, chunk) {
  socket.write(head)
  while (socket.bytesWritten < 4 * 1024 * 1024 && !socket.destroyed) {
    if (socket.write(chunk()) || socket.destroyed) continue
    await new Promise(resolve => socket.once('drain', resolve).once('close', resolve))
  }
}

// A masked binary frame of a WebSocket client.
function frame(payload) {
  const { length } = payload
  const head = Buffer.from(length < 126 ? [0x82, 0x80 | length] : [0x82, 0xfe, length >> 8, length & 255])
  const mask = randomBytes(4)
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])])
}

function files(pid) {
  return readdirSync(`/proc/${pid}/fd`).length
}

// Resident memory of a process in KiB.
function memory(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])
}
