/** What the three agents have in common: how they start, join, look each other up, and stop. */
import { performance } from 'node:perf_hooks'
import { joinMesh, type JoinOptions, type Mesh } from 'neural-mesh'
import { duration, short } from './format.js'
import { report } from './report.js'

/** Who has this capability has weights that read digits, and gives them to whoever asks. */
export const CAPABILITY = 'handwritten-digits'

/**
 * Milliseconds of silence that end a search which has not found all it looks for: as long as its time-out. The
 * default of 250 ms suits a search for whoever is there; on a busy machine an answer may take longer.
 */
export const QUIET = 2500

/** The direct message that asks for the weights. */
export const WEIGHTS_REQUEST = { ask: 'weights' } as const

export type Join = (agent?: JoinOptions['agent']) => Promise<Mesh>

/**
 * Runs an agent, started as `node agent-x.js MESH RELAY`, until its standard input ends. Listening there rather
 * than for a signal works on every system, and an agent whose conductor died does not live on.
 */
export function run (agent: (join: Join) => Promise<void>): void {
  const [name, relay] = process.argv.slice(2)
  let joined: Mesh | undefined

  // Ctrl-C reaches the whole process group; the conductor decides what stops, and in which order.
  process.on('SIGINT', () => {})
  process.stdin.resume().once('close', () => {
    const closed = joined?.close() ?? Promise.resolve()
    closed.catch(() => {}).finally(() => process.exit())
  })

  const join: Join = async agent => {
    const started = performance.now()
    joined = await joinMesh(name, { relays: relay, ...(agent && { agent }) })
    const ms = performance.now() - started
    report('joined', `joined the mesh "${name}" as ${short(joined.peerId)} in ${duration(ms)}`, { peerId: joined.peerId, ms })
    return joined
  }
  agent(join).catch(fail)
}

/** Tells the conductor, which then ends the run. */
export function fail (error: unknown): void {
  console.error(error)
  report('failed', error instanceof Error ? error.message : String(error), {})
}

/** Reports each broadcast that arrives. */
export function reportBroadcasts (mesh: Mesh): void {
  mesh.on('broadcast', ({ from, payload }) => {
    nameOf(mesh, from).then(name => {
      const text = asText(payload)
      report('heard', `heard ${short(name)} say to all: "${text}"`, { from, payload: text })
    }).catch(fail)
  })
}

/** The name of the first agent of a peer that this node knows, or the peer id. */
export async function nameOf (mesh: Mesh, peerId: string): Promise<string> {
  const agents = await mesh.agents.list()
  return agents.find(agent => agent.peerId === peerId)?.name ?? peerId
}

/** A payload can be anything that CBOR can say: it is shown, never trusted. One line, at most 200 characters. */
export function asText (payload: unknown): string {
  const text = typeof payload === 'string' ? payload : String(JSON.stringify(payload))
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, 200)
}
