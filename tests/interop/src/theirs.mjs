// A node of js-libp2p, put together as its documentation says, as the tests use it.

import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { names, serveStream } from './protocols.mjs'

const RETRIES = 2
// It gives an answer 5 s.
const IDENTIFY_MS = 6000

export async function startTheirs({ relay, listen }, log) {
  const node = await createLibp2p({
    addresses: { listen: listen ? [`${relay}/p2p-circuit`, '/webrtc'] : [] },
    // Without servers on the internet.
    transports: [webSockets(), webRTC({ rtcConfiguration: { iceServers: [] } }), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // In a browser it would not dial a relay on this machine.
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() },
  })
  const told = ({ remotePeer, remoteAddr, direction }) => ({
    peer: remotePeer.toString(),
    direct: isDirect(remoteAddr),
    dialled: direction === 'outbound',
    address: remoteAddr.toString(),
  })
  node.addEventListener('connection:open', ({ detail }) => log.tell('connected', told(detail)))
  node.addEventListener('connection:close', ({ detail }) => log.tell('closed', told(detail)))
  node.addEventListener('peer:identify', ({ detail: { connection, agentVersion, protocols } }) => {
    log.tell('identified', { ...told(connection), agent: agentVersion, protocols })
  })
  node.addEventListener('self:peer:update', () => log.tell('updated'))
  for (const name of names) {
    await node.handle(name, stream => serveStream(name, adapt(stream), log.tell), { maxInboundStreams: 256 })
  }
  return new Theirs(node, log)
}

class Theirs {
  constructor(node, log) {
    this.node = node
    this.log = log
    this.peerId = node.peerId.toString()
  }

  // Under which address others connect to it directly.
  async address() {
    for (;;) {
      const address = this.node.getMultiaddrs().find(isDirect)
      if (address) return address.toString()
      await this.log.next()
    }
  }

  async dial(address) {
    await this.node.dial(multiaddr(address))
  }

  // Now and then node-datachannel turns the first two messages of a channel around at the receiving end: libdatachannel
  // hands out what has waited for a listener while it hands out what comes. js-libp2p sends each frame as two messages, so
  // one of thousands of its streams is refused, or never answered by one of its own kind. It is opened again.
  async open(peerId, protocol) {
    for (let left = RETRIES; ; left--) {
      try {
        return adapt(await this.#direct(peerId).newStream(protocol, { maxOutboundStreams: 256 }))
      } catch (error) {
        if (left === 0 || error.name !== 'StreamResetError') throw error
        this.log.tell('reopened')
      }
    }
  }

  // It asks when it connects, and not again if it gets no answer.
  async identified(peerId) {
    const again = setTimeout(() => this.node.services.identify.identify(this.#direct(peerId)).catch(() => {}), IDENTIFY_MS)
    try {
      return await this.log.seen('identified', { peer: peerId, direct: true })
    } finally {
      clearTimeout(again)
    }
  }

  ping(peerId) {
    return this.node.services.ping.ping(this.#direct(peerId).remotePeer)
  }

  async close(peerId) {
    await this.node.hangUp(this.#direct(peerId).remotePeer)
  }

  #direct(peerId) {
    const found = this.node.getConnections().find(({ remotePeer, remoteAddr }) => remotePeer.toString() === peerId && isDirect(remoteAddr))
    if (!found) throw new Error(`no direct connection to ${peerId}`)
    return found
  }
}

const isDirect = address => /\/webrtc(\/|$)/.test(address.toString())

function adapt(stream) {
  const parts = stream[Symbol.asyncIterator]()
  // Begun at once: whoever begins after the end has come waits for it for ever.
  let first = parts.next()
  first.catch(() => {})
  return {
    async read() {
      const next = first ?? parts.next()
      first = undefined
      const { value, done } = await next
      return done ? undefined : value.subarray()
    },
    async write(bytes) {
      if (!stream.send(bytes)) await drained(stream)
    },
    finish: () => stream.close(),
    reset: () => stream.abort(new Error('given up by the test')),
    stop: () => stream.closeRead(),
    free() {},
  }
}

// `stream.onDrain()` of @libp2p/utils 7.4.1 waits the first time only: its promise is made once and stays resolved. Who
// trusts it with a remote that is slower never lets an event in again and ends out of memory.
function drained(stream) {
  if (stream.writeStatus === 'closed') return undefined
  return new Promise(resolve => {
    const done = () => {
      stream.removeEventListener('drain', done)
      stream.removeEventListener('close', done)
      resolve()
    }
    stream.addEventListener('drain', done)
    stream.addEventListener('close', done)
  })
}
