// A mesh with a charter: a relay that serves it, and voters in processes of their own, each with an identity and a store that
// outlive the process. All of it ends with the test.

import { generateIdentity, peerIdOf } from 'neural-mesh'
import { acquaint, startMesh } from './mesh.mjs'

// With `count` voters that are elected; the first of them is the founder.
export async function startChartered(t, count) {
  const world = await startMesh(t, { charter: true })
  const voters = []
  for (let n = 0; n < count; n++) voters.push(await Voter.make(world, `v${n}`))
  await Promise.all(voters.map(voter => voter.start()))
  await acquaint(...voters.map(({ agent }) => agent))
  await elect(voters)
  // One that has no store, and so no vote.
  const follower = name => world.agent(name, { identity: generateIdentity(), store: undefined })
  return Object.assign(world, { voters, follower })
}

class Voter {
  static async make(world, name) {
    const member = world.member()
    return new Voter(world, name, member, await peerIdOf(member.identity))
  }

  constructor(world, name, member, peerId) {
    Object.assign(this, { world, name, member, peerId })
  }

  // Starts its process, or starts it again. Its policy votes what a proposal's `vote` says, if it says something.
  async start() {
    this.agent = await this.world.process()
    await this.agent.join(this.world, this.name, this.member)
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
