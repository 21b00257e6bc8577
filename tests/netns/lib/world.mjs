// What one test has at hand: a relay, further native members and agents, each a process on a host of its own. All of it ends
// with the test.

import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, acquaint } from '../../e2e/lib/mesh.mjs'
import { Relay } from '../../e2e/lib/relay.mjs'
import { Network } from './network.mjs'

const MESH = 'netns'
// Each host has all ports to itself.
const ENV = { ...process.env, NEURAL_MESH_HTTP_ALLOW_PUBLIC: 'true' }
const PORTS = { tcp: 4001, ws: 4002, http: 4003, stun: 3478 }

export async function startWorld(t) {
  const world = new World()
  t.after(() => world.end())
  await world.relayOn()
  return world
}

class World {
  mesh = MESH
  network = new Network()
  #dir = realpathSync(mkdtempSync(join(tmpdir(), 'neural-mesh-netns-')))
  #programs = []

  // The relay that agents join by.
  async relayOn() {
    this.relay = await this.#native({ host: this.network.host(), peers: [] })
  }

  // The same relay again after it was killed: on its host, with its key and its ports.
  async restartRelay() {
    this.relay = await this.#native(this.relay)
  }

  // A native member that stays connected to the relay, and could be one for others.
  native() {
    const toRelay = this.relay.addresses.find(address => address.includes(`/tcp/${PORTS.tcp}/p2p/`))
    return this.#native({ host: this.network.host(), peers: [toRelay] })
  }

  // Agents of these names that have joined and know each other, every other one of them without WebRTC.
  async agents(names, { relays = this.relay.address } = {}) {
    const agents = await Promise.all(names.map((name, n) => this.#agent(name, { relays, webrtc: n % 2 === 0 })))
    await acquaint(...agents)
    return agents
  }

  async end() {
    // Nobody has to say goodbye over a link that is down.
    await Promise.all(this.#programs.map(program => program.kill()))
    this.network.remove()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  async #native({ host, peers }) {
    const { address, name, command } = host
    const listen = [`/ip4/${address}/tcp/${PORTS.tcp}`, `/ip4/${address}/tcp/${PORTS.ws}/ws`]
    const flags = ['--stun', `${address}:${PORTS.stun}`, '--http', `${address}:${PORTS.http}`, '--no-mdns', '--key', `${name}.key`]
    const many = [...listen.flatMap(at => ['--listen', at]), ...peers.flatMap(peer => ['--peer', peer])]
    const relay = await Relay.run(['--mesh', MESH, ...flags, ...many], { dir: this.#dir, by: command, env: ENV })
    this.#programs.push(relay.program)
    return Object.assign(relay, { host, peers, status: `http://${address}:${PORTS.http}` })
  }

  async #agent(name, options) {
    const host = this.network.host()
    const [execPath, ...execArgv] = [...host.command, process.execPath]
    const agent = Agent.start({ execPath, execArgv })
    this.#programs.push(agent)
    await agent.join(this, name, options)
    return Object.assign(agent, { host })
  }
}
