// The program of a process with one agent, as anybody starts one: the package, a relay, and a WebSocket of its own on which
// it listens. See ../lib/block-peers.mjs for the other end.

import { generateIdentity, joinMesh } from 'neural-mesh'
import { bytes, sha256, xorshift } from './bytes.mjs'
import { serve } from './serve.mjs'

const LIMIT_MS = 30_000

let mesh

serve({
  // `listen: false`: it can only be reached by way of the relay.
  async start({ name, relay, listen = true, store }) {
    const kept = store === undefined ? {} : { identity: generateIdentity(), store }
    mesh = await joinMesh(name, { relays: relay, webrtc: false, ...(listen && { listen: '/ip4/127.0.0.1/tcp/0/ws' }), ...kept })
    return mesh.peerId
  },

  addresses: () => mesh.listening,

  // Whoever connects while it waits for a block is asked too, so there is nothing to wait for.
  knows() {},

  async add(tree) {
    const { cid } = await (typeof tree === 'object' ? mesh.knowledge.addDirectory(made(tree)) : mesh.knowledge.addFile(content(tree)))
    return cid
  },

  // All files of a root, sorted: { path, length, sha256 }. The path of a root that is a file is empty; a directory that is
  // empty is there with its path and a slash.
  async fetch(cid, limitMs) {
    const files = await walk(cid, '', { timeoutMs: limitMs ?? LIMIT_MS })
    return files.sort((a, b) => (a.path < b.path ? -1 : 1))
  },

  list: (cid, limitMs = LIMIT_MS) => mesh.knowledge.list(cid, { timeoutMs: limitMs }),

  async block(cid, limitMs = LIMIT_MS) {
    const all = await mesh.knowledge.readFile(cid, { timeoutMs: limitMs })
    return { length: all.length, sha256: await sha256(all) }
  },

  // Whether all that is below it is here.
  has: async cid => (await mesh.knowledge.whoHas(cid)).includes(mesh.peerId),

  // It goes when there is no room, not before.
  delete: cid => mesh.knowledge.unpin(cid),

  pin: (cid, limitMs = LIMIT_MS) => mesh.knowledge.pin(cid, { timeoutMs: limitMs }),

  // Puts a file under a key, for so many others to hold: { cid, holders }.
  async put(key, file, replicas) {
    const { cid, holders } = await mesh.knowledge.put(key, content(file), { replicas, waitMs: LIMIT_MS })
    return { cid, holders }
  },

  // { sent, received }, bytes of blocks, and what else there is to know.
  storage: () => mesh.knowledge.storage(),

  close: () => mesh.close(),
})

const content = file => (typeof file === 'number' ? xorshift(file) : bytes(file))

const made = tree => Object.fromEntries(Object.entries(tree).map(([name, below]) => [name, typeof below === 'object' ? made(below) : content(below)]))

async function walk(cid, path, options) {
  const entries = await entriesOf(cid, options)
  if (entries === undefined) {
    const all = await mesh.knowledge.readFile(cid, options)
    return [{ path, length: all.length, sha256: await sha256(all) }]
  }
  const files = []
  for (const entry of entries) files.push(...(await walk(entry.cid, `${path}/${entry.name}`, options)))
  return files.length > 0 ? files : [{ path: `${path}/` }]
}

// Nothing if it is a file.
async function entriesOf(cid, options) {
  try {
    return await mesh.knowledge.list(cid, options)
  } catch (error) {
    if (error.code === 'integrity') return undefined
    throw error
  }
}
