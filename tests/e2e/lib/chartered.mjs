// A mesh with a charter: a relay that serves it, and voters in processes of their own, each with an identity and a store that
// outlive the process. All of it ends with the test.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCharter, generateIdentity, peerIdOf, readCharter } from 'neural-mesh'
import { Agent, acquaint } from './mesh.mjs'
import { Relay } from './relay.mjs'

// With `count` voters that are elected; the first of them is the founder.
export async function startChartered(t, count) {
  const world = new Chartered()
  t.after(() => world.end())
  await world.start()
  for (let n = 0; n < count; n++) world.voters.push(await Voter.make(world, `v${n}`))
  await Promise.all(world.voters.map(voter => voter.start()))
  await acquaint(...world.voters.map(({ agent }) => agent))
  await elect(world.voters)
  return world
}

class Chartered {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'neural-mesh-e2e-')))
  founder = generateIdentity()
  voters = []
  #ends = []

  async start() {
    const file = join(this.dir, 'mesh.charter')
    // What `joinMesh` takes.
    this.mesh = await createCharter({ name: 'e2e', founders: await peerIdOf(this.founder) })
    this.meshId = (await readCharter(this.mesh)).meshId
    writeFileSync(file, this.mesh)
    const args = ['--charter', file, '--key', join(this.dir, 'relay.key'), '--listen', '/ip4/127.0.0.1/tcp/0/ws', '--http', 'off']
    const relay = await Relay.run([...args, '--stun', 'off', '--no-mdns'], { dir: this.dir })
    this.#ends.push(() => relay.end())
    this.relay = relay
  }

  // One that has no store, and so no vote.
  async follower(name) {
    const agent = await this.process()
    await agent.join(this, name)
    return agent
  }

  async process() {
    const agent = Agent.start()
    this.#ends.push(() => agent.end())
    await agent.run(() => {})
    return agent
  }

  async end() {
    await Promise.all(this.#ends.map(end => end()))
    rmSync(this.dir, { recursive: true, force: true })
  }
}

class Voter {
  static async make(world, name) {
    const identity = name === 'v0' ? world.founder : generateIdentity()
    return new Voter(world, name, identity, await peerIdOf(identity))
  }

  constructor(world, name, identity, peerId) {
    Object.assign(this, { world, name, identity, peerId, store: join(world.dir, name) })
  }

  // Starts its process, or starts it again. Its policy votes what a proposal's `vote` says, if it says something.
  async start() {
    this.agent = await this.world.process()
    await this.agent.join(this.world, this.name, { identity: this.identity, store: this.store })
    await this.run(({ mesh, state }) => {
      state.told = []
      for (const type of ['proposal', 'decided', 'granted', 'no-quorum', 'electorate', 'double-vote', 'store-failed', 'offence', 'error']) {
        mesh.on(type, event => state.told.push(event))
      }
      mesh.consensus.setPolicy(({ proposal: { vote, reason } }) => vote && { vote, reason })
    })
  }

  run(code, ...args) {
    return this.agent.run(code, ...args)
  }

  // As the system would end it.
  kill() {
    return this.agent.kill()
  }

  propose(proposal, options) {
    return this.run(({ mesh }, proposal, options) => mesh.consensus.propose(proposal, options), proposal, options)
  }

  vote(id, vote) {
    return this.run(({ mesh }, id, vote) => mesh.consensus.vote(id, vote), id, vote)
  }

  result(id) {
    return this.run(({ mesh }, id) => mesh.consensus.result(id, { timeoutMs: 20_000 }), id)
  }

  // The id of a proposal of this title, as soon as it is open here.
  opened(title) {
    return this.run(({ state, until }, title) => {
      const open = () => state.told.find(({ type, proposal }) => type === 'proposal' && proposal.title === title)?.proposal.id
      return until(open, { what: `the proposal ${title} is open` })
    }, title)
  }

  // The result that the event `decided` has told.
  decided(id) {
    return this.run(({ state, until }, id) => {
      const result = () => state.told.find(({ type, result }) => type === 'decided' && result.id === id)?.result
      return until(result, { what: `${id} is decided` })
    }, id)
  }

  // Events of these types so far.
  told(...types) {
    return this.run(({ state }, types) => state.told.filter(({ type }) => types.includes(type)), types)
  }
}

async function elect([founder, ...others]) {
  const peerIds = [founder, ...others].map(({ peerId }) => peerId)
  const epoch = await founder.run(({ mesh }, peerIds) => mesh.consensus.elect(peerIds), peerIds)
  const knows = async ({ state, until }, epoch) => {
    await until(() => state.told.some(event => event.type === 'electorate' && event.epoch === epoch), { what: `epoch ${epoch}` })
  }
  await Promise.all([founder, ...others].map(voter => voter.run(knows, epoch)))
}
