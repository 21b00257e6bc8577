// What one test has at hand: a relay, proxies, and agents in processes of their own. All of it ends with the test.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createCharter, generateIdentity, peerIdOf } from 'neural-mesh'
import { Program } from './program.mjs'
import { Proxy } from './proxy.mjs'
import { Relay } from './relay.mjs'

export { until } from './until.mjs'

const PROGRAM = fileURLToPath(new URL('agent.mjs', import.meta.url))

// Starts a relay for test `t`. `listen`: its further listeners. With `charter: true` the mesh has one, and the first agent
// that joins is its founder; with bytes it is that one. `ui: true` serves the page too.
export async function startMesh(t, { mesh = 'e2e', listen = [], charter = false, ui = false } = {}) {
  const world = new World(mesh, { listen, ui })
  t.after(() => world.end())
  if (charter) await world.found(charter)
  await world.startRelay()
  return world
}

class World {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'neural-mesh-e2e-')))
  #ends = []
  // The bytes of the charter, when the mesh has one.
  charter
  #founder
  #stores = 0

  constructor(mesh, { listen, ui }) {
    this.mesh = mesh
    this.options = { listen, ui }
  }

  // Gives the mesh a charter, before the relay is started: these bytes, or one of a founder who is yet to join.
  async found(charter) {
    if (charter === true) this.#founder = generateIdentity()
    this.charter = charter === true ? await createCharter({ name: this.mesh, founders: await peerIdOf(this.#founder) }) : charter
    this.options.charter = join(this.dir, 'mesh.charter')
    writeFileSync(this.options.charter, this.charter)
  }

  // Who an agent is in a mesh with a charter, and where it keeps its votes: options of joinMesh. The first is the founder.
  member() {
    if (!this.charter) return {}
    const identity = this.#founder ?? generateIdentity()
    this.#founder = undefined
    return { identity, store: join(this.dir, `store-${this.#stores++}`) }
  }

  // Starts the relay, or starts it again after it was killed: with the same key, on the same port.
  async startRelay() {
    const relay = await Relay.start({ dir: this.dir, mesh: this.mesh, port: this.relay?.port, ...this.options })
    this.#ends.push(() => relay.end())
    this.relay = relay
  }

  // Another relay, in touch with the first.
  async secondRelay() {
    const relay = await Relay.start({ dir: this.dir, mesh: this.mesh, key: 'second.key', peers: [this.relay.address], charter: this.options.charter })
    this.#ends.push(() => relay.end())
    return relay
  }

  // A proxy in front of the relay.
  async proxy(options) {
    const proxy = await Proxy.start(this.relay.port, options)
    this.#ends.push(() => proxy.close())
    return proxy
  }

  // A process that has not joined.
  async process(options) {
    const agent = Agent.start(options)
    this.#ends.push(() => agent.end())
    await agent.run(() => {})
    return agent
  }

  // A process that has joined, with one agent of this name or with several descriptions of agents.
  async agent(names, options) {
    const member = this.member()
    const agent = await this.process()
    await agent.join(this, names, { ...member, ...options })
    return agent
  }

  // Several processes with an agent each, that have joined and know each other.
  async agents(...names) {
    const agents = await Promise.all(names.map(name => this.agent(name)))
    await acquaint(...agents)
    return agents
  }

  async end() {
    await Promise.all(this.#ends.map(end => end()))
    rmSync(this.dir, { recursive: true, force: true })
  }
}

// A process that runs lib/agent.mjs.
export class Agent extends Program {
  #calls = new Map()
  #next = 0

  static start(options) {
    return this.fork(PROGRAM, options)
  }

  constructor(child) {
    super(child)
    child.on('message', ({ id, result, error }) => {
      const { resolve, reject } = this.#calls.get(id)
      this.#calls.delete(id)
      if (error) reject(Object.assign(new Error(error.message), error))
      else resolve(result)
    })
    this.exited.then(({ code, signal }) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`the agent ended (${signal ?? code}): ${this.stderr}`))
      this.#calls.clear()
    })
  }

  // Runs `code` in the process, with what lib/agent.mjs calls `agent` as its first argument. It is handed over as text
  // and sees nothing of the test. Resolves and rejects as it does; errors keep their `code` and `details`.
  run(code, ...args) {
    return this.#call({ source: code.toString(), args })
  }

  // Joins. `via` a proxy, it is the only way out. `listen: false` takes no messages, broadcasts and weights. It listens for
  // others `listenOn` some address. Without
  // `webrtc: true` everything goes through the relay, which is what most tests are about. In a mesh with a charter it is
  // somebody new, unless it gets what `member` of another was.
  // `entry` is what it joins by instead of the world's mesh; with `found` it founds a private mesh of that name.
  async join(world, names, { via, listen, listenOn = [], webrtc = false, entry, found, ...options } = {}) {
    const agents = [names].flat().map(agent => (typeof agent === 'string' ? { id: agent } : agent))
    const relays = via ? world.relay.addressBy(via.port) : world.relay.address
    this.member = options.identity ? { identity: options.identity, store: options.store } : (world.member?.() ?? {})
    const join = {
      ...{ mesh: entry ?? world.charter ?? world.mesh, found, agents, onlyPort: via?.port, listen },
      options: { relays, webrtc, listen: listenOn, ...options, ...this.member },
    }
    const { peerId, meshId } = await this.#call({ join })
    this.peerId = peerId
    this.meshId = meshId
    this.name = agents[0]?.id
    this.id = agents.length > 0 ? `${this.name}@${peerId}` : peerId
  }

  #call(request) {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      if (!this.running) return reject(new Error(`the agent has ended: ${this.stderr}`))
      this.#calls.set(id, { resolve, reject })
      this.child.send({ id, ...request })
    })
  }
}

// Resolves when each of the agents knows all the others.
export async function acquaint(...agents) {
  const ids = agents.map(agent => agent.id)
  await Promise.all(agents.map(agent => knows(agent, ids)))
}

// Resolves when `agent` knows the agents of these ids.
export function knows(agent, ids) {
  return agent.run(async ({ mesh, until }, ids) => {
    const missing = async () => {
      const known = new Set((await mesh.agents.list()).map(agent => agent.id))
      return ids.filter(id => !known.has(id))
    }
    await until(async () => (await missing()).length === 0, { what: `${ids} are known`, everyMs: 10 })
  }, ids)
}

// Resolves when the agent has an event of this type in its log that matches all of `fields`.
export function seen(agent, type, fields = {}) {
  return agent.run(
    ({ log, until }, type, fields) => {
      const matches = event => event.type === type && Object.entries(fields).every(([key, value]) => event[key] === value)
      return until(() => log.events.some(matches), { what: `an event ${type} with ${JSON.stringify(fields)}` })
    },
    type,
    fields,
  )
}
