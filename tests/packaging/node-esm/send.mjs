// Joins the mesh as agent `ada`, finds `bob`, sends it one message, prints the receipt as JSON, and leaves.

import { joinMesh, MeshError } from 'neural-mesh'

const [relay, text] = process.argv.slice(2)
const mesh = await joinMesh('packaging', { relays: relay, agent: { id: 'ada', capabilities: ['send'] }, timeoutMs: 30_000 })
const [bob] = await mesh.agents.find({ capabilities: ['receive'] }, { limit: 1, timeoutMs: 20_000 })
if (bob === undefined) throw new Error('bob was not found')
const receipt = await mesh.messages.send(bob.id, { text }, { timeoutMs: 20_000 })
console.log(JSON.stringify({ peerId: receipt.peerId, ada: mesh.peerId }))

// A failure is a MeshError of this package, with a code.
const error = await mesh.messages.send('nobody', {}).then(() => undefined, e => e)
if (!MeshError.isInstance(error)) throw new Error(`expected a MeshError, got ${error}`)
console.log(JSON.stringify({ code: error.code }))
await mesh.close()
