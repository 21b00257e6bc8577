// What agents in Node.js do in a mesh with a charter.

// Makes voters of these. Who has just come in may not have told its key to everybody yet.
export function elect(founder, members) {
  return founder.run(
    ({ mesh, until }, peerIds) => {
      const early = error => {
        if (error.code !== 'invalid-argument') throw error
      }
      return until(() => mesh.consensus.elect(peerIds).catch(early), { what: 'all have told their keys', everyMs: 50 })
    },
    members.map(({ peerId }) => peerId),
  )
}

// Resolves to the id of the proposal when it is open; its end is `state.result` of the agent.
export function propose(agent, title, windowMs = 30_000) {
  return agent.run(
    ({ mesh, state }, title, windowMs) => {
      const opened = new Promise(resolve => mesh.once('proposal', ({ proposal }) => resolve(proposal.id)))
      state.result = mesh.consensus.propose({ kind: 'purchase', title }, { windowMs })
      state.result.catch(() => {})
      return opened
    },
    title,
    windowMs,
  )
}
