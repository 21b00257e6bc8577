import type { SimTold, SimWorld } from '../generated/mesh_sim.js'
import { MeshError, isTrap, toMeshError } from '../errors.js'

/** A rule of the mesh that was broken: a defect of neural-mesh, which should be reported with the seed. */
export interface Violation {
  /** The rule's name. */
  readonly rule: string
  /** When, in virtual milliseconds. */
  readonly atMs: number
  /** How it was broken. */
  readonly what: string
}

interface Sleeper {
  readonly due: number
  readonly wake: () => void
}

/**
 * The simulator, and the passing of its time: in steps that each end when some application is told something, so that what
 * JavaScript does about it happens at that very moment of virtual time.
 *
 * @internal
 */
export class Engine {
  #world: SimWorld | undefined
  #refusal = new MeshError('closed', 'the simulation is closed')
  #driving = false
  #sleepers: Sleeper[] = []
  readonly #tell: (told: SimTold) => void

  constructor(world: SimWorld, tell: (told: SimTold) => void) {
    this.#world = world
    this.#tell = tell
  }

  get now(): number {
    return this.call(world => world.now)
  }

  /** Asks or tells the simulator something. */
  call<T>(work: (world: SimWorld) => T): T {
    if (!this.#world) throw this.#refusal
    try {
      return work(this.#world)
    } catch (error) {
      if (!isTrap(error)) throw toMeshError(error)
      // The instance's memory is not to be trusted any more; nor is it to be freed.
      this.#world = undefined
      this.#refusal = new MeshError('internal', `the simulator has failed (${(error as Error).message}); please report it`, { cause: error })
      throw this.#refusal
    }
  }

  /** Resolves when virtual time has come to `now + ms`. */
  sleep(ms: number): Promise<void> {
    const due = later(this.now, ms)
    return new Promise(wake => {
      const at = this.#sleepers.findIndex(other => other.due > due)
      this.#sleepers.splice(at === -1 ? this.#sleepers.length : at, 0, { due, wake })
    })
  }

  /** Lets `ms` pass, or less when it is `done`; one caller at a time. */
  async drive(ms: number, done: () => boolean = () => false): Promise<void> {
    if (this.#driving) throw new MeshError('invalid-argument', 'the simulation runs already: await that first')
    const end = later(this.now, ms)
    this.#driving = true
    const turns = new Turns()
    try {
      // What was called before may still be on its way to the simulator.
      await turns.next()
      while (!done()) {
        const due = Math.min(end, this.#sleepers[0]?.due ?? end)
        const told = this.call(world => world.run(due))
        for (const one of told) this.#tell(one)
        const woken = this.#wake()
        // With nobody told, it has come to `due`.
        if (told.length === 0 && woken === 0 && due === end) return
        await turns.next()
      }
    } finally {
      turns.end()
      this.#driving = false
    }
  }

  close(): void {
    if (this.#world) this.#world.free()
    this.#world = undefined
    this.#sleepers = []
  }

  #wake(): number {
    const now = this.now
    const due = this.#sleepers.filter(sleeper => sleeper.due <= now)
    this.#sleepers = this.#sleepers.slice(due.length)
    for (const sleeper of due) sleeper.wake()
    return due.length
  }
}

// The simulator counts whole microseconds: a sum that is not the nearest number to one would never be reached.
function later(now: number, ms: number): number {
  return Math.round((now + ms) * 1000) / 1000
}

// Turns of the event loop, in which everything runs that waits for a promise. A timer would do as well, but takes
// milliseconds.
class Turns {
  readonly #channel = new MessageChannel()
  #resolve: (() => void) | undefined

  constructor() {
    this.#channel.port1.onmessage = () => this.#resolve?.()
  }

  next(): Promise<void> {
    return new Promise(resolve => {
      this.#resolve = resolve
      this.#channel.port2.postMessage(0)
    })
  }

  // An open port keeps Node.js alive.
  end(): void {
    this.#channel.port1.close()
  }
}
