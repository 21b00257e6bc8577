// Simulates a mesh of three, sends one message in it, and prints it as JSON. The simulation is left open.

import { createSimMesh } from 'neural-mesh/testing'

const sim = await createSimMesh({ nodes: ['ada', 'bob', 'eve'], seed: 1 })
const [ada, bob] = sim.nodes
await sim.runUntil(ada.sendDirectMessage(bob.peerId, 'hello'))
console.log(JSON.stringify({ payload: bob.received.messages[0].payload, trace: sim.trace.length }))
