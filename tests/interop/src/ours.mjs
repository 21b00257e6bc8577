// A node of rust-libp2p with mesh-webrtc (../peer), as the tests use it.

import init, { Peer } from '../generated/interop_peer.js'
import { names, serveStream } from './protocols.mjs'

// `wasm`: what the glue takes, or nothing where it finds the file itself.
export async function startOurs({ relay, listen, hold = false, wasm }, log) {
  await init(wasm === undefined ? undefined : { module_or_path: wasm })
  const peer = new Peer(names, hold, (name, details) => {
    if (name === 'stream') return void serveStream(details.protocol, adapt(details.stream), log.tell)
    return log.tell(name, details)
  })
  if (listen) peer.listen(relay)
  return new Ours(peer, log)
}

class Ours {
  constructor(peer, log) {
    this.peer = peer
    this.log = log
    this.peerId = peer.peerId
  }

  // Under which address others connect to it directly.
  async address() {
    const isDirect = ({ name, address }) => name === 'reachable' && address.includes('/webrtc/')
    while (!this.log.events.some(isDirect)) await this.log.next()
    return this.log.events.find(isDirect).address
  }

  dial(address) {
    return this.peer.dial(address)
  }

  async open(peerId, protocol) {
    return adapt(await this.peer.open(peerId, protocol))
  }

  // It asks when it connects, and every few seconds.
  identified(peerId) {
    return this.log.seen('identified', { peer: peerId, direct: true })
  }

  // It pings all the time: the next answer.
  async ping(peerId) {
    return (await this.log.seen('ping', { peer: peerId, direct: true })).ms
  }

  async close(peerId) {
    this.peer.close(peerId)
  }
}

function adapt(stream) {
  // One that is let go without having ended is reset; one that has is not missed.
  let freed = false
  const free = () => {
    if (!freed) stream.free()
    freed = true
  }
  return {
    read: () => stream.read(),
    write: bytes => stream.write(bytes),
    finish: () => stream.finish(),
    reset: free,
    // Nobody reads it any more.
    stop: async () => free(),
    free,
  }
}
