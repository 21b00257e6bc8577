// Peers that keep blocks and give them to others, each in a process of its own. All have the same calls, whatever they are:
//
//   peerId                     after `start`
//   addresses()                where it listens
//   dial(address)              connects, and gives the peer's id
//   knows(peer)                ends once this peer would be asked for blocks
//   add(tree)                  keeps a file (a text, or a number of bytes of xorshift) or directory (an object): its CID
//   fetch(cid, limitMs)        all files below a CID, from whoever has them: [{ path, length, sha256 }], by path
//   block(cid, limitMs)        one block: { length, sha256 }
//   has(cid), delete(cid)      what it keeps
//
// A further kind of peer is one more class with these; what it cannot do is not there, or says so.

import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { at, exe } from '../../../scripts/lib/paths.mjs'
import { startMesh } from '../../e2e/lib/mesh.mjs'
import { Program } from '../../e2e/lib/program.mjs'

const HELIA = fileURLToPath(new URL('../src/helia.mjs', import.meta.url))
const AGENT = fileURLToPath(new URL('../src/agent.mjs', import.meta.url))
const MESH = 'interop'
// Which ../build.mjs builds.
const OURS = at('target/debug/examples', `ipfs-peer${exe}`)

// Calls that wait for their answers.
class BlockPeer {
  #program
  #calls = new Map()
  #next = 0

  constructor(program) {
    this.#program = program
    program.exited.then(({ code, signal }) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`the peer ended (${signal ?? code}): ${this.stderr}`))
    })
  }

  // Starts one for test `t`, and ends it with the test.
  static async start(t, options = {}) {
    const peer = new this()
    t.after(() => peer.end())
    peer.peerId = await peer.call('start', options)
    return peer
  }

  call(method, ...args) {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      if (!this.#program.running) return reject(new Error(`the peer has ended: ${this.stderr}`))
      this.#calls.set(id, { resolve, reject })
      this.send({ id, method, args })
    })
  }

  answered({ id, result, error }) {
    const { resolve, reject } = this.#calls.get(id)
    this.#calls.delete(id)
    if (error === undefined) resolve(result)
    else reject(new Error(error))
  }

  get stderr() {
    return this.#program.stderr
  }

  end() {
    return this.#program.end()
  }

  // Gives a class a method for each of these calls.
  static calls(...methods) {
    for (const method of methods) {
      this.prototype[method] = function (...args) {
        return this.call(method, ...args)
      }
    }
  }

  static {
    this.calls('addresses', 'dial', 'knows', 'add', 'fetch', 'block', 'has', 'delete')
  }

  // Connects this one with another, by TCP or by an address that has this in it, until both would ask each other.
  async meet(other, over = /\/tcp\/\d+\/p2p\//) {
    const address = (await other.addresses()).find(address => over.test(address))
    await this.dial(address)
    await Promise.all([this.knows(other.peerId), other.knows(this.peerId)])
  }
}

// A Node.js program that answers calls.
class NodePeer extends BlockPeer {
  #child

  constructor(file) {
    const program = Program.fork(file)
    super(program)
    this.#child = program.child
    this.#child.on('message', message => this.answered(message))
  }

  send(message) {
    this.#child.send(message)
  }
}

// Helia as it is on npm. Further calls: see ../src/helia.mjs.
export class Helia extends NodePeer {
  constructor() {
    super(HELIA)
  }

  static {
    this.calls('list', 'gc', 'presence', 'wantsOf', 'session', 'want', 'giveUp', 'connections', 'streams', 'hangUp')
  }
}

// mesh-bitswap and mesh-unixfs in a swarm of rust-libp2p. Further calls: see crates/bitswap/examples/ipfs-peer.
export class Ours extends BlockPeer {
  #child

  constructor() {
    const program = Program.spawn(OURS, [], { stdio: ['pipe', 'pipe', 'pipe'] })
    super(program)
    this.#child = program.child
    createInterface({ input: this.#child.stdout }).on('line', line => this.answered(JSON.parse(line)))
  }

  send(message) {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`)
  }

  static {
    this.calls('want', 'cancel', 'got', 'searched', 'figures')
  }
}

// An agent of the package, in an open mesh: the relay has its options. Who it is to fetch from has to dial it. Further
// calls: see ../src/agent.mjs.
export class Agent extends NodePeer {
  constructor() {
    super(AGENT)
  }

  dial() {
    throw new Error('an agent dials relays and members of its mesh; anybody can dial it')
  }

  static {
    this.calls('list', 'pin', 'put', 'storage', 'close')
  }
}

// The relay, a program that takes no calls. It keeps what an agent puts and leaves to it, so it has files and no directories.
export class RelayPeer {
  #world

  // Starts one for test `t`, by WebSocket and TCP.
  static async start(t) {
    const peer = new this()
    peer.#world = await startMesh(t, { mesh: MESH, listen: ['/ip4/127.0.0.1/tcp/0'] })
    peer.peerId = peer.#world.relay.peerId
    return peer
  }

  // What agents of its mesh are started with.
  get options() {
    return { name: MESH, relay: this.#world.relay.address }
  }

  async addresses() {
    return this.#world.relay.addresses
  }

  // It asks nobody.
  async knows() {}

  // The value of one of its metrics.
  metric(name) {
    return this.#world.relay.metric(name)
  }

  // Keeps a file that an agent gives it, who has gone when this ends: its CID.
  async add(t, file) {
    const agent = await Agent.start(t, { ...this.options, listen: false })
    const { cid, holders } = await agent.put('file', file, 1)
    await agent.close()
    await agent.end()
    if (!holders.includes(this.peerId)) throw new Error(`the relay does not hold ${cid}: ${holders}`)
    return cid
  }
}
