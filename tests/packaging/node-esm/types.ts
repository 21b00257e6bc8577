// What a TypeScript user writes must pass the strictest check with nothing but the package's own declarations.

import { joinMesh, MeshError, P2PNeuralMeshService, generateIdentity, type Mesh } from 'neural-mesh'
import { createSimMesh, type SimMesh, type SimNode } from 'neural-mesh/testing'

export async function use(relay: string): Promise<string[]> {
  const mesh: Mesh = await joinMesh('lab', { relays: [relay], identity: generateIdentity(), agent: { id: 'ada', capabilities: ['digits'] } })
  mesh.on('broadcast', ({ from, topic, payload }) => console.log(from, topic, payload))
  try {
    await mesh.broadcast('hello', { topic: 'news' })
    const found = await mesh.agents.find({ capabilities: ['digits'] }, { limit: 3 })
    await mesh.weights.share('ada', { agentId: 'ada', data: new Uint8Array(8) })
    return found.map(agent => agent.id)
  } catch (error) {
    return [MeshError.isInstance(error) ? error.code : 'unknown']
  } finally {
    await mesh.close()
  }
}

export async function useService(relay: string): Promise<boolean> {
  const service = new P2PNeuralMeshService({ mesh: 'lab', relays: relay })
  await service.initialize()
  await service.announceAgent({ id: 'ada' })
  await service.shutdown()
  return service.isConnected()
}

export async function simulate(): Promise<[number, string[], Mesh | undefined]> {
  const sim: SimMesh = await createSimMesh({ nodes: 4, seed: 7 })
  const node: SimNode = sim.node('node1')
  const [left, right] = sim.partition(['node1', 'node2'], ['node3', 'node4'])
  const healthy: boolean = left.isHealthy() && right.isHealthy()
  const found = await sim.runUntil(node.discoverAgents(), { limitMs: 5000 })
  const ms = await sim.runUntil(() => healthy)
  return [ms, found.map(agent => agent.id), node.mesh]
}

// @ts-expect-error: a relay is an address
export const wrong = joinMesh('lab', { relays: 9000 })
