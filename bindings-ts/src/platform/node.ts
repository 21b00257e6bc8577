import { readFile } from 'node:fs/promises'
import type { ClientRequestArgs } from 'node:http'
import WebSocket from 'ws'
import { usePlatform } from '../wasm.js'

// Largest WebSocket message taken from a relay. One carries what the relay flushes at once, a few frames of 64 KiB.
const MAX_SOCKET_MESSAGE = 4 * 1024 * 1024

// Everything on this socket is encrypted and does not compress.
class Socket extends WebSocket {
  constructor(address: string | URL, protocols?: string | string[]) {
    const options: WebSocket.ClientOptions & ClientRequestArgs = { perMessageDeflate: false, maxPayload: MAX_SOCKET_MESSAGE }
    super(address, protocols, options)
  }
}

// Where the core looks before it takes globalThis.WebSocket, which Node.js 20 lacks and which may be somebody else's.
const socket = Symbol.for('neural-mesh.WebSocket')
if (!(socket in globalThis)) Object.defineProperty(globalThis, socket, { value: Socket, configurable: true, writable: true })

usePlatform({
  wasm: () => readFile(new URL('../generated/mesh_wasm_bg.wasm', import.meta.url)),
  watchUncaught: callback => void process.on('uncaughtExceptionMonitor', callback),
})
