import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { test, type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { joinMesh } from '../src/mesh.js'
import { answerMdns } from '../src/platform/mdns-node.js'
import { peerId, rejectsCode, relay } from './tools.js'

// What others hear and ask is in tests/e2e/mdns.test.mjs.

const here = Object.values(networkInterfaces()).flatMap(all => all ?? []).find(({ family, internal }) => family === 'IPv4' && !internal)?.address
const listening = (host: string) => `/ip4/${host}/tcp/4001/ws/p2p/${peerId}`

test('a port that another program keeps to itself is a warning, once, and stopping twice does no harm', async t => {
  const busy = await bound(t)
  const warned = warning()
  let warnings = 0
  process.on('warning', () => warnings++)
  // Two sockets fail, for one mesh.
  const stop = answerMdns([listening('192.0.2.77'), listening('192.0.2.78')], busy.address().port)
  assert.match((await warned).message, /may not find this node: mDNS on 192\.0\.2\.7[78]: .*EADDRINUSE/)
  await setImmediate()
  assert.equal(warnings, 1)
  stop()
  stop()
})

test('an interface that is gone is a warning', async () => {
  const warned = warning()
  const stop = answerMdns([listening('203.0.113.77')], await freePort())
  assert.match((await warned).message, /mDNS on 203\.0\.113\.77: /)
  stop()
})

test('with nothing to tell there is no socket, and a warning', async () => {
  const warned = warning()
  answerMdns([listening('127.0.0.1'), `/ip6/2001:db8::1/tcp/4001/ws/p2p/${peerId}`])()
  assert.match((await warned).message, /no IPv4 address but loopback/)
})

test('it can be stopped before its socket is bound', { skip: here === undefined && 'this machine is on no network' }, async () => {
  const port = await freePort()
  answerMdns([listening(here!)], port)()
  const socket = createSocket('udp4').bind(port)
  await once(socket, 'listening')
  socket.close()
})

test('where nothing answers mDNS, as in browsers, it is refused', async () => {
  const options = { relays: relay, listen: '/ip4/0.0.0.0/tcp/0/ws', mdns: true }
  await rejectsCode('invalid-argument', /mdns is for Node\.js/, joinMesh('lab', options))
})

async function bound(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4').bind(0)
  t.after(() => socket.close())
  await once(socket, 'listening')
  return socket
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0)
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

async function warning(): Promise<Error> {
  const [warning] = (await once(process, 'warning')) as [Error & { code?: string }]
  assert.equal(warning.code, 'NEURAL_MESH_NO_MDNS')
  return warning
}
