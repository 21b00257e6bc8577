// The program of an agent process. It runs functions that a test hands it as text, with the package and a mesh at hand:
// what a test does on an agent stands in the test. See lib/mesh.mjs for the other end.

import * as neuralMesh from 'neural-mesh'
import { until } from './until.mjs'

// What every function gets as its first argument.
const agent = {
  ...neuralMesh,
  // Joined by `join`.
  mesh: undefined,
  // What the mesh has told so far, see `watch`.
  log: undefined,
  // Kept between calls.
  state: {},
  until,
  watch,
}

process.on('disconnect', () => process.exit())
process.on('message', async ({ id, join, source, args }) => {
  try {
    answer({ id, result: join ? await joined(join) : await run(source, args) })
  } catch (error) {
    answer({ id, error: portable(error) })
  }
})

function answer(message) {
  if (process.connected) process.send(message)
}

async function run(source, args) {
  return (0, eval)(`(${source})`)(agent, ...args)
}

// Joins with the first of `agents`, and announces the others.
async function joined({ mesh, found, agents: [first, ...others], options, onlyPort, listen }) {
  if (onlyPort !== undefined) bePinnedTo(onlyPort)
  const join = { ...options, agent: first }
  agent.mesh = await (found ? neuralMesh.createMesh(found, join) : neuralMesh.joinMesh(mesh, join))
  agent.log = watch(agent.mesh, { listen })
  for (const other of others) await agent.mesh.agents.announce(other)
  return { peerId: agent.mesh.peerId, meshId: agent.mesh.meshId }
}

// The relay tells its own port to everybody. An agent behind a proxy must not find its way around it: it is as if the
// proxy were its only way out.
function bePinnedTo(port) {
  const key = Symbol.for('neural-mesh.WebSocket')
  globalThis[key] = class extends globalThis[key] {
    constructor(address, ...rest) {
      if (new URL(address).port !== String(port)) throw new Error(`no way to ${address}`)
      super(address, ...rest)
    }
  }
}

// Writes down what `mesh` tells from now on: { messages, broadcasts, weights, progress, events }, each in order. With
// `listen: false` nobody listens for messages, broadcasts and weights.
function watch(mesh, { listen = true } = {}) {
  const log = { messages: [], broadcasts: [], weights: [], progress: [], events: [] }
  const types = [
    ...['relay-connected', 'relay-disconnected', 'joined', 'peer-connected', 'path-changed', 'peer-disconnected'],
    ...['peer-suspected', 'peer-recovered', 'agent-joined', 'agent-updated', 'agent-left', 'weights-failed', 'offence', 'undecodable'],
    ...['membership', 'expelled', 'invite-used', 'lagged', 'error', 'closed'],
  ]
  for (const type of types) mesh.on(type, event => log.events.push(event))
  if (!listen) return log
  mesh.on('message', message => log.messages.push(message))
  mesh.on('broadcast', broadcast => log.broadcasts.push(broadcast))
  mesh.weights.onWeights(weights => log.weights.push(weights), { onProgress: progress => log.progress.push(progress) })
  return log
}

function portable(error) {
  if (!(error instanceof Error)) return { message: String(error) }
  const { name, message, stack, code, details } = error
  return { name, message, stack, code, details }
}
