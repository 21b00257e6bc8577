import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { ClientRequestArgs } from 'node:http'
import WebSocket from 'ws'
import { fileBlocks } from '../store/blocks-fs.js'
import { fileStore } from '../store/fs.js'
import { usePlatform } from '../wasm.js'
import { MAX_SOCKET_MESSAGE } from './limits-node.js'
import { provideListening } from './listen-node.js'
import { answerMdns } from './mdns-node.js'
import { webrtc } from './webrtc-node.js'

// Everything on this socket is encrypted and does not compress.
class Socket extends WebSocket {
  constructor(address: string | URL, protocols?: string | string[]) {
    const options: WebSocket.ClientOptions & ClientRequestArgs = {
      perMessageDeflate: false,
      maxPayload: MAX_SOCKET_MESSAGE,
      generateMask: zero,
    }
    super(address, protocols, options)
    // The core lets go of a socket whenever it likes, also of one that still connects. In a browser that is silent; here
    // an 'error' that nobody listens for would end the process.
    this.on('error', () => {})
  }
}

// A mask keeps a page from choosing the bytes that a proxy on the way sees (RFC 6455, 10.3). No script chooses these: all
// but the names of protocols is encrypted by the core. With a mask of zeros the bytes go out as they are, without a copy.
function zero(mask: Buffer): void {
  mask.fill(0)
}

// Where the core looks before it takes globalThis.WebSocket, which Node.js 20 lacks and which may be somebody else's.
const socket = Symbol.for('neural-mesh.WebSocket')
if (!(socket in globalThis)) Object.defineProperty(globalThis, socket, { value: Socket, configurable: true, writable: true })

provideListening()
usePlatform({
  native: true,
  wasm: () => readFile(new URL('../generated/mesh_wasm_bg.wasm', import.meta.url)),
  sha256: data => createHash('sha256').update(data).digest(),
  webrtc,
  answerMdns,
  fileStore,
  fileBlocks,
  watchUncaught: callback => void process.on('uncaughtExceptionMonitor', callback),
})
