import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import '../src/platform/node.js'
import { deferred } from './tools.js'

type SocketClass = new (address: string, protocols?: string[]) => WebSocket
const Socket = (globalThis as never as Record<symbol, SocketClass>)[Symbol.for('neural-mesh.WebSocket')]!

test('Node.js: the core\'s socket carries bytes uncompressed, up to 4 MiB a message, and no global is replaced', async t => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true })
  t.after(() => server.close())
  await once(server, 'listening')
  server.on('connection', peer => {
    peer.send(new Uint8Array([1, 2, 3]))
    peer.on('message', () => peer.send(new Uint8Array(4 * 1024 * 1024 + 1)))
  })
  const socket = new Socket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  socket.binaryType = 'arraybuffer'
  const message = deferred<unknown>()
  const closed = deferred<number>()
  socket.onmessage = event => message.resolve(event.data)
  socket.onclose = event => closed.resolve(event.code)
  socket.onerror = () => {}
  assert.deepEqual(await message.promise, new Uint8Array([1, 2, 3]).buffer)
  assert.equal(socket.extensions, '')
  socket.send(new Uint8Array(1))
  assert.equal(await closed.promise, 1006)
  assert.notEqual(globalThis.WebSocket, Socket)
})

// (module (func (export "f") unreachable))
const TRAPS = '0061736d0100000001040160000003020100070501016600000a05010300000b'

test('Node.js: a trap in a microtask, which no call sees, is noticed', () => {
  const script = `
    import { readFileSync } from 'node:fs'
    import ${JSON.stringify(new URL('../src/platform/node.js', import.meta.url).href)}
    import { loadWasm, onTrap } from ${JSON.stringify(new URL('../src/wasm.js', import.meta.url).href)}
    process.on('uncaughtException', () => {})
    await loadWasm()
    onTrap(cause => console.log('noticed', cause.constructor.name))
    const { instance } = await WebAssembly.instantiate(Buffer.from('${TRAPS}', 'hex'))
    queueMicrotask(() => { throw new Error('not a trap') })
    queueMicrotask(instance.exports.f)
  `
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.equal(stdout, 'noticed RuntimeError\n', stderr)
})
