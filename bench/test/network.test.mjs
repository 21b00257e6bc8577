import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { block } from '../src/firewall.mjs'
import { Proxy } from '../src/proxy.mjs'

/**
 * @returns {Promise<{ port: number, close: () => void }>} a server that sends back what it gets
 */
async function echoServer() {
  const server = createServer(socket => socket.on('error', () => {}).pipe(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return { port, close: () => server.close() }
}

/**
 * @param {number} port
 * @returns {Promise<string>} what came back for `ping`; rejects when the connection is refused or reset
 */
async function ping(port) {
  const socket = connect(port, '127.0.0.1')
  socket.write('ping')
  try {
    const [data] = await once(socket, 'data')
    return String(data)
  } finally {
    socket.destroy()
  }
}

test('the proxy forwards, resets and refuses while cut, and forwards again once healed', async () => {
  const server = await echoServer()
  const proxy = new Proxy()
  const port = await proxy.listen()
  proxy.forwardTo(server.port)
  try {
    assert.equal(await ping(port), 'ping')

    const open = connect(port, '127.0.0.1')
    open.write('ping')
    await once(open, 'data')
    proxy.cut()
    const [error] = await once(open, 'error')
    assert.equal(error.code, 'ECONNRESET')
    await assert.rejects(ping(port))

    proxy.heal()
    assert.equal(await ping(port), 'ping')
  } finally {
    proxy.close()
    server.close()
  }
})

test('a blocked port is refused, also to fetch, and others are not', async () => {
  const blocked = await echoServer()
  const other = await echoServer()
  try {
    block(blocked.port)
    await assert.rejects(ping(blocked.port), /ECONNREFUSED/)
    await assert.rejects(fetch(`http://127.0.0.1:${blocked.port}/`))
    assert.equal(await ping(other.port), 'ping')
  } finally {
    blocked.close()
    other.close()
  }
})
