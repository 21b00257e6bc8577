// Joins the mesh as agent `bob`, prints `ready`, waits for one message, prints it as JSON, and leaves.

import { joinMesh } from 'neural-mesh'

const [relay] = process.argv.slice(2)
const signal = AbortSignal.timeout(60_000)
const mesh = await joinMesh('packaging', { relays: relay, agent: { id: 'bob', capabilities: ['receive'] }, timeoutMs: 30_000 })
console.log('ready')

for await (const message of mesh.messages.inbox({ signal })) {
  console.log(JSON.stringify({ from: message.from, payload: message.payload }))
  break
}
await mesh.close()
