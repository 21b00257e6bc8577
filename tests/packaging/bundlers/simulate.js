// What each page with a simulation does: a mesh of three, one message in it, and the hash of all that happened.

export async function simulate(createSimMesh) {
  const sim = await createSimMesh({ nodes: ['ada', 'bob', 'eve'], seed: 1 })
  const [ada, bob] = sim.nodes
  await sim.runUntil(ada.sendDirectMessage(bob.peerId, 'hello'))
  const result = { payload: bob.received.messages[0].payload, trace: sim.trace }
  await sim.close()
  return result
}
