import type { MeshEvent, MeshNode } from '../src/generated/mesh_wasm.js'
import { Core } from '../src/core.js'
import { EventHub } from '../src/hub.js'
import { Mesh } from '../src/mesh.js'
import { peerId, relay } from './tools.js'

/** Stands where the wasm core's node stands: tests push its events and decide what its calls do. */
export class FakeNode {
  readonly peerId = peerId
  readonly meshId = 'ab'.repeat(32)
  readonly listening: string[] = []
  readonly taken: (receipt: number) => void = receipt => this.receipts.push(receipt)
  readonly receipts: number[] = []
  freed = 0
  closes = 0
  pulls = 0
  readonly #events: (MeshEvent | undefined)[] = []
  #wake: (() => void) | undefined

  constructor(methods: Partial<Record<keyof MeshNode, unknown>> = {}) {
    Object.assign(this, methods)
  }

  push(...events: (MeshEvent | undefined)[]): void {
    this.#events.push(...events)
    this.#wake?.()
  }

  async nextEvent(): Promise<MeshEvent | undefined> {
    this.pulls++
    while (this.#events.length === 0) await new Promise<void>(resolve => (this.#wake = resolve))
    return this.#events.shift()
  }

  async membership(): Promise<unknown> {
    return { open: true, founder: false, invitesPerDay: 0 }
  }

  async close(): Promise<void> {
    this.closes++
    this.push(undefined)
  }

  free(): void {
    this.freed++
  }
}

export function fakeMesh(methods: Partial<Record<keyof MeshNode, unknown>> = {}, maxIncomingWeights = 1_000_000) {
  const node = new FakeNode(methods)
  const hub = new EventHub()
  const core = new Core(node as unknown as MeshNode)
  const mesh = new Mesh('lab', core, hub, { maxIncomingWeights, relays: [relay] })
  return { node, hub, core, mesh }
}
