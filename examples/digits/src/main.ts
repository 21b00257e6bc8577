/**
 * The example's conductor: `node dist/main.js [--stay]`.
 *
 * Starts a relay and three agents as processes of their own, writes what they report into one transcript, and
 * checks what it claims. Exit code 0: every claim holds; 1: one does not, or something broke or took longer than
 * {@link TIME_LIMIT}; 128 + n: stopped by signal n. With --stay the mesh then stays up for others to join, by a page or by
 * code, until Ctrl-C, which is the expected end and gives exit code 0.
 */
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AgentProcess } from './agent-process.js'
import type { Child } from './child.js'
import { claims, type Evidence } from './claims.js'
import { invitation } from './invitation.js'
import { startRelay, type Relay } from './relay.js'
import type { Steps } from './report.js'
import { Transcript } from './transcript.js'

const MESH = 'digits'

/** Milliseconds for everything up to the last check. On two cores it takes some seconds. */
const TIME_LIMIT = 120_000

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

class Conductor {
  readonly #transcript = new Transcript()
  readonly #agents: AgentProcess[] = []
  readonly #page: boolean
  #relay: Relay | undefined
  #staying = false
  #stopped = false
  #abandon: (reason: Error) => void = () => {}
  /** Rejects when a process dies, an agent fails or time is up. Never resolves. */
  readonly #broken = new Promise<never>((_, reject) => { this.#abandon = reject })

  /** With `page`, the relay serves a page to join by. */
  constructor ({ page }: { page: boolean }) {
    this.#page = page
  }

  /** Resolves with whether every claim holds. */
  async perform (): Promise<boolean> {
    const timer = setTimeout(() => this.#abandon(new Error(`gave up after ${TIME_LIMIT / 1000} s${this.#awaited()}`)), TIME_LIMIT).unref()
    try {
      const results = claims(await Promise.race([this.#story(), this.#broken]))
      this.#transcript.claims(results)
      return results.every(({ holds }) => holds)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Keeps the mesh up. Rejects when a process dies. */
  async stay (): Promise<never> {
    this.#staying = true
    const { address, page } = this.#relay!
    for (const line of invitation(MESH, await address, page())) this.#transcript.line(line)
    return this.#broken
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#agents.map(({ child }) => child.stop()))
    await this.#relay?.child.stop()
    await this.#relay?.forget()
  }

  kill (): void {
    for (const child of this.#children()) child.kill()
  }

  tell (text: string): void {
    this.#transcript.line(text)
  }

  explain (error: Error): void {
    this.tell(`\nFailed: ${error.message}.`)
    for (const { name, errors } of this.#children()) {
      if (errors.length === 0) continue
      this.tell(`\nThe last lines of ${name}'s error output:`)
      for (const line of errors) this.tell(`  ${line}`)
    }
  }

  async #story (): Promise<Evidence> {
    const address = await this.#startRelay()
    this.#transcript.say('relay', `listens on ${address}`)

    const ada = this.#startAgent('ada', 'agent-a.js', address)
    const adaIs = { trained: await ada.step('trained'), joined: await ada.step('joined'), announced: await ada.step('announced') }

    const ben = this.#startAgent('ben', 'agent-b.js', address)
    const benIs = {
      measured: await ben.step('measured'),
      discovered: await ben.step('discovered'),
      received: await ben.step('received'),
      learned: await ben.step('learned')
    }
    const shared = await ada.step('shared')
    await ben.step('announced')

    const cleo = this.#startAgent('cleo', 'agent-c.js', address)
    const cleoIs = { joined: await cleo.step('joined'), found: await cleo.step('found'), said: await cleo.step('said') }
    const heard = (listener: AgentProcess, peerId: string): Promise<Steps['heard']> => listener.step('heard', ({ from }) => from === peerId)
    return {
      ada: { ...adaIs, shared, heard: await heard(ada, cleoIs.joined.peerId), said: await ada.step('said') },
      ben: { ...benIs, heard: await heard(ben, adaIs.joined.peerId) },
      cleo: { ...cleoIs, heard: await heard(cleo, adaIs.joined.peerId) }
    }
  }

  async #startRelay (): Promise<string> {
    const relay = await startRelay(MESH, { page: this.#page })
    if (this.#stopped) relay.child.kill()
    this.#relay = relay
    relay.child.died.catch(this.#abandon)
    return relay.address
  }

  #startAgent (name: string, script: string, relay: string): AgentProcess {
    if (this.#stopped) throw new Error('stopped')
    const path = fileURLToPath(new URL(script, import.meta.url))
    const agent = new AgentProcess(name, path, [MESH, relay], ({ step, text }) => {
      if (this.#stopped) return
      this.#transcript.say(name, text)
      // What others do to an agent once the story is told is no failure of the example.
      if (step === 'failed' && !this.#staying) this.#abandon(new Error(`${name} failed: ${text}`))
    })
    agent.child.died.catch(this.#abandon)
    this.#agents.push(agent)
    return agent
  }

  #children (): Child[] {
    const children = this.#agents.map(({ child }) => child)
    return this.#relay ? [this.#relay.child, ...children] : children
  }

  #awaited (): string {
    const awaited = this.#agents.flatMap(({ child, awaited }) => Array.from(awaited, step => `"${step}" from ${child.name}`))
    return `, waiting for ${awaited.join(' and ') || 'the relay'}`
  }
}

async function main (args: string[]): Promise<number> {
  const unknown = args.find(arg => arg !== '--stay')
  if (unknown !== undefined) {
    console.error(`Unknown argument "${unknown}". Usage: node dist/main.js [--stay]`)
    return 2
  }
  const stay = args.includes('--stay')
  const conductor = new Conductor({ page: stay })
  process.once('exit', () => conductor.kill())
  const signalled = signal()
  let staying = false
  const run = async (): Promise<number> => {
    if (!await conductor.perform()) return 1
    if (!stay) return 0
    staying = true
    return conductor.stay()
  }
  try {
    // Ctrl-C reaches the relay too. Its end is then no failure, whichever of the two is noticed first.
    const finished = run().catch((error: Error) => Promise.race([signalled, delay(200, error)]))
    const outcome = await Promise.race([finished, signalled])
    if (typeof outcome === 'number') return outcome
    if (outcome instanceof Error) {
      conductor.explain(outcome)
      return 1
    }
    conductor.tell(`\nStopped by ${outcome}.`)
    return staying && outcome === 'SIGINT' ? 0 : 128 + constants.signals[outcome]
  } finally {
    // A second signal does not wait for goodbyes.
    await Promise.race([conductor.stop(), signal().then(() => conductor.kill())])
  }
}

/** Resolves with the next signal that asks this program to end. */
function signal (): Promise<typeof SIGNALS[number]> {
  return new Promise(resolve => {
    for (const name of SIGNALS) process.once(name, () => resolve(name))
  })
}

process.exitCode = await main(process.argv.slice(2))
