// The program of a process with one Helia node, put together as its documentation says and not changed in any way: blocks
// in memory, Bitswap over TCP and WebSocket, nobody else to ask. See ../lib/block-peers.mjs for the other end.

import './node-20.mjs'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { bytes, join, sha256, xorshift } from './bytes.mjs'
import { serve } from './serve.mjs'

const LIMIT_MS = 30_000
const LISTEN = ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws']

let helia
let fs
let wanting
let wanted

const within = (limitMs = LIMIT_MS) => ({ signal: AbortSignal.timeout(limitMs) })

const commands = {
  // `bitswap`: options of @helia/bitswap.
  async start({ bitswap = {} } = {}) {
    const libp2p = {
      addresses: { listen: LISTEN },
      transports: [tcp(), webSockets()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), ping: ping() },
    }
    helia = await withBitswap(withLibp2pLight(createHeliaLight(), libp2p), bitswap).start()
    fs = unixfs(helia)
    return helia.libp2p.peerId.toString()
  },

  addresses: () => helia.libp2p.getMultiaddrs().map(String),

  async dial(address) {
    const connection = await helia.libp2p.dial(multiaddr(address), within())
    return connection.remotePeer.toString()
  },

  // Ends once Bitswap knows that this peer speaks it: then it is asked for what is wanted.
  async knows(peer) {
    const { wantList } = bitswap()
    while (![...wantList.peers.keys()].some(known => known.toString() === peer)) await new Promise(resolve => setTimeout(resolve, 5))
  },

  connections: () => helia.libp2p.getConnections().map(({ remotePeer }) => remotePeer.toString()),

  // Bitswap's streams with a peer that are open.
  streams: peer => helia.libp2p.getConnections(peerIdFromString(peer)).flatMap(({ streams }) => streams).filter(({ protocol }) => protocol.startsWith('/ipfs/bitswap/')).length,

  hangUp: peer => helia.libp2p.hangUp(peerIdFromString(peer)),

  // A tree is a file, as a text or as a number of bytes of xorshift, or an object of trees: a directory. `shards`: every
  // directory is a HAMT. Resolves to the root.
  async add(tree, { chunk = 1024 * 1024, width = 1024, shards = false } = {}) {
    const layout = { chunker: fixedSize({ chunkSize: chunk }), layout: balanced({ maxChildrenPerNode: width }) }
    if (typeof tree !== 'object') return (await fs.addBytes(content(tree), layout)).toString()
    const options = { ...layout, wrapWithDirectory: true, ...(shards ? { shardSplitThresholdBytes: 0 } : {}) }
    let cid
    for await (const root of fs.addAll(sources(tree, ''), options)) cid = root.cid
    return cid.toString()
  },

  // All files of a root, sorted: { path, length, sha256 }. The path of a root that is a file is empty; a directory that is
  // empty is there with its path and a slash.
  async fetch(cid, limitMs) {
    const files = await walk(CID.parse(cid), '', within(limitMs))
    return files.sort((a, b) => (a.path < b.path ? -1 : 1))
  },

  // The entries of a directory: { name, cid }.
  async list(cid, limitMs) {
    const entries = []
    for await (const entry of fs.ls(CID.parse(cid), within(limitMs))) entries.push({ name: entry.name, cid: entry.cid.toString() })
    return entries
  },

  async block(cid, limitMs) {
    const all = await whole(helia.blockstore.get(CID.parse(cid), within(limitMs)))
    return { length: all.length, sha256: await sha256(all) }
  },

  // Many blocks at once, each asked of this peer alone, as in a session: how many came.
  async session(cids, peer, limitMs) {
    const session = bitswap().createSession({ providers: [peerIdFromString(peer).toCID()], minProviders: 1, maxProviders: 1 })
    const blocks = await Promise.allSettled(cids.map(cid => session.retrieve(CID.parse(cid), within(limitMs))))
    return blocks.filter(({ status }) => status === 'fulfilled').length
  },

  // Wants blocks until `giveUp`.
  async want(cids) {
    wanting = new AbortController()
    wanted = Promise.allSettled(cids.map(cid => whole(helia.blockstore.get(CID.parse(cid), { signal: wanting.signal }))))
  },

  async giveUp() {
    wanting.abort()
    await wanted
  },

  has: cid => helia.blockstore.has(CID.parse(cid)),

  // As `gc` does it: the way through the node asks routers, and there are none.
  async delete(cid) {
    await helia.blockstore.unwrap().delete(CID.parse(cid))
  },

  // Deletes all blocks: nothing is pinned here.
  gc: () => helia.gc(),

  // Asks this peer whether it has a block, and for nothing more: { has, ms }.
  async presence(cid, peer, limitMs) {
    const began = performance.now()
    const { has } = await bitswap().wantList.wantSessionPresence(CID.parse(cid), peerIdFromString(peer), within(limitMs))
    return { has, ms: performance.now() - began }
  },

  // What this peer wants, as it is known here: CIDs.
  wantsOf: peer => (bitswap().getPeerWantlist(peerIdFromString(peer)) ?? []).filter(({ status }) => status === 'want').map(({ cid }) => cid.toString()),

  stop: () => helia.stop(),
}

const bitswap = () => helia.blockBrokers.find(({ name }) => name === 'bitswap').bitswap

const content = file => (typeof file === 'number' ? xorshift(file) : bytes(file))

function sources(tree, above) {
  return Object.entries(tree).flatMap(([name, below]) => {
    const path = above + name
    if (typeof below !== 'object') return [{ path, content: content(below) }]
    return [{ path }, ...sources(below, `${path}/`)]
  })
}

async function walk(cid, path, options) {
  const { type } = await fs.stat(cid, options)
  if (type !== 'directory') {
    const all = await whole(fs.cat(cid, options))
    return [{ path, length: all.length, sha256: await sha256(all) }]
  }
  const files = []
  for await (const entry of fs.ls(cid, options)) files.push(...(await walk(entry.cid, `${path}/${entry.name}`, options)))
  return files.length > 0 ? files : [{ path: `${path}/` }]
}

async function whole(parts) {
  const all = []
  for await (const part of parts) all.push(part)
  return join(all)
}

serve(commands)
