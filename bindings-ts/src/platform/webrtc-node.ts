import type { WebrtcTraits } from './platform.js'

// Where the core looks before it takes globalThis.RTCPeerConnection, which may be somebody else's.
const CLASS = Symbol.for('neural-mesh.RTCPeerConnection')
// Not written into the import, so that bundlers leave a package alone that need not be there.
const PACKAGE: string = 'node-datachannel'
const POLYFILL: string = `${PACKAGE}/polyfill`

// What the core gives: a list of STUN servers.
type Config = { readonly iceServers?: readonly { readonly urls: readonly string[] }[] }
type PeerConnectionClass = new (config?: object) => EventTarget & { readonly connectionState: string; close(): void }
type Polyfill = { readonly RTCPeerConnection: PeerConnectionClass; readonly RTCError: unknown }

// The native halves, as far as they are used here.
type NativeChannel = { isOpen(): boolean; close(): void; onOpen(listener: () => void): void }
type NativePeer = {
  createDataChannel(...args: unknown[]): NativeChannel
  onDataChannel(listener: (channel: NativeChannel) => void): void
}
type Native = { readonly PeerConnection: new (name: string, config: object) => NativePeer }

let ready: Promise<WebrtcTraits> | undefined

/** @internal Node.js has no WebRTC of its own: node-datachannel brings it, where it is installed. */
export function webrtc(): Promise<WebrtcTraits> {
  ready ??= load()
  return ready
}

async function load(): Promise<WebrtcTraits> {
  const global = globalThis as { RTCPeerConnection?: unknown; RTCError?: unknown }
  if (global.RTCPeerConnection !== undefined) return { holdCandidates: true }
  try {
    const native = (await import(PACKAGE)) as Native
    const { RTCPeerConnection, RTCError } = (await import(POLYFILL)) as Polyfill
    // Its channels name this one on their way to report an error, and do not import it.
    global.RTCError ??= RTCError
    const value = releasing(RTCPeerConnection, native)
    Object.defineProperty(globalThis, CLASS, { value, configurable: true, writable: true })
  } catch (cause) {
    const reason = (cause as { code?: unknown } | null)?.code === 'ERR_MODULE_NOT_FOUND' ? 'is not installed' : `cannot be loaded: ${String(cause)}`
    process.emitWarning(
      `neural-mesh: node-datachannel ${reason}, so this node reaches others through relays only. ` +
        'For direct connections: npm install node-datachannel. To do without them and without this warning: webrtc: false',
      { code: 'NEURAL_MESH_NO_WEBRTC' },
    )
  }
  return { holdCandidates: true }
}

// The class with its native halves let go in every case: what is left of one keeps the process from ending.
function releasing(base: PeerConnectionClass, { PeerConnection }: Native): PeerConnectionClass {
  class Peer extends PeerConnection {
    override createDataChannel(...args: unknown[]): NativeChannel {
      return closedOnce(super.createDataChannel(...args))
    }
    override onDataChannel(listener: (channel: NativeChannel) => void): void {
      super.onDataChannel(channel => listener(closedOnce(channel)))
    }
  }
  return class extends base {
    constructor({ iceServers = [] }: Config = {}) {
      super({ peerConnection: new Peer('neural-mesh', { iceServers: iceServers.flatMap(({ urls }) => urls) }) })
      // A connection that the other end closes keeps its native half until it is closed here too.
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'closed') this.close()
      })
    }
  }
}

// A channel that is being closed from elsewhere, by the other end or with its connection, tells its end by itself. To close it
// again at that moment takes its listener away before it is told, and the native half then stays for good.
function closedOnce(channel: NativeChannel): NativeChannel {
  const { onOpen, close } = channel
  let opened = channel.isOpen()
  return Object.defineProperties(channel, {
    onOpen: {
      value(listener: () => void) {
        const told = () => {
          opened = true
          listener()
        }
        onOpen.call(channel, told)
      },
    },
    close: {
      value() {
        if (!opened || channel.isOpen()) close.call(channel)
      },
    },
  })
}
