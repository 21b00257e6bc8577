import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { WebSocketServer, type WebSocket } from 'ws'
import { MAX_SOCKET_MESSAGE } from './limits-node.js'

// Where the core looks for a way to listen.
const LISTEN = Symbol.for('neural-mesh.listen')

type Accept = (socket: WebSocket, host: string, port: number) => void

// A server that listens, as the core wants it.
interface Listening {
  readonly port: number
  readonly hosts: string[]
  close(): void
}

/** @internal Lets the core listen for WebSockets. */
export function provideListening(): void {
  if (LISTEN in globalThis) return
  Object.defineProperty(globalThis, LISTEN, { value: listen, configurable: true, writable: true })
}

async function listen(host: string, port: number, accept: Accept): Promise<Listening> {
  const server = new WebSocketServer({ host, port, perMessageDeflate: false, maxPayload: MAX_SOCKET_MESSAGE })
  server.on('connection', (socket, { socket: { remoteAddress = '', remotePort = 0 } }) => {
    // What goes wrong with one is told by its 'close'; an 'error' that nobody listens for would end the process.
    socket.on('error', () => {})
    accept(socket, unmapped(remoteAddress), remotePort)
  })
  // Rejects when the port cannot be had.
  await once(server, 'listening')
  const { port: given } = server.address() as AddressInfo
  return { port: given, hosts: hostsOf(host), close: () => close(server) }
}

function close(server: WebSocketServer): void {
  server.close()
  for (const socket of server.clients) socket.terminate()
}

// The addresses that an address stands for.
function hostsOf(host: string): string[] {
  const family = { '0.0.0.0': 'IPv4', '::': 'IPv6' }[host]
  if (family === undefined) return [host]
  const all = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
  // A link-local one means nothing without the interface.
  return all.filter(({ family: of, address }) => of === family && !address.startsWith('fe80:')).map(({ address }) => address)
}

// An IPv4 address that came in by an IPv6 socket.
function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}
