import { type Native, type PeerConnectionClass, releasing } from './native-halves-node.js'
import type { WebrtcTraits } from './platform.js'

// Where the core looks before it takes globalThis.RTCPeerConnection, which may be somebody else's.
const CLASS = Symbol.for('neural-mesh.RTCPeerConnection')
// Not written into the import, so that bundlers leave a package alone that need not be there.
const PACKAGE: string = 'node-datachannel'
const POLYFILL: string = `${PACKAGE}/polyfill`

type Polyfill = { readonly RTCPeerConnection: PeerConnectionClass; readonly RTCError: unknown }

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
