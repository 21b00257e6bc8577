// A relay process.

import { join } from 'node:path'
import { at } from '../../../scripts/lib/paths.mjs'
import { relayBinary } from '../../../scripts/lib/relay.mjs'
import { Program } from './program.mjs'

export class Relay {
  // Resolves when it listens. With the `port` and `key` of an earlier one it is the same relay again. With `mdns` it looks
  // for peers on the local network. `listen`: further listeners. `peers`: relays to stay in touch with. `charter`: the file
  // of the mesh's. With `ui` it serves the page.
  static async start({ dir, mesh, key = 'relay.key', port = 0, mdns = false, listen = [], peers = [], charter, ui = false }) {
    const listeners = [`/ip4/127.0.0.1/tcp/${port}/ws`, ...listen]
    const addresses = [...listeners.flatMap(address => ['--listen', address]), '--http', '127.0.0.1:0']
    const others = peers.flatMap(address => ['--peer', address])
    const args = ['--mesh', mesh, '--key', join(dir, key), ...addresses, ...(mdns ? [] : ['--no-mdns']), '--stun', 'off', ...others]
    if (charter) args.push('--charter', charter)
    if (ui) args.push('--ui', '127.0.0.1:0', '--ui-directory', at('www/dist'))
    return Relay.run(args, { dir })
  }

  // As `start`, with all of the relay's arguments. `by`: a command, and its arguments, that runs it.
  static async run(args, { dir, by = [], env = process.env }) {
    const [command, ...rest] = [...by, relayBinary(), '--json', ...args]
    const relay = new Relay(Program.spawn(command, rest, { cwd: dir, env }))
    try {
      await relay.#ready()
    } catch (error) {
      await relay.kill()
      throw error
    }
    return relay
  }

  // All of its addresses; `address` is that of its WebSocket.
  addresses = []

  constructor(program) {
    this.program = program
  }

  async #ready() {
    const lines = this.program.lines()
    for (;;) {
      const { value, done } = await lines.next()
      if (done) {
        const { code, signal } = await this.program.exited
        throw new Error(`the relay ended (${signal ?? code}) before it was ready: ${this.program.stderr}`)
      }
      const { event, address, peerId } = JSON.parse(value)
      if (event === 'listening') this.addresses.push(address)
      if (event === 'http') this.http = address
      if (event === 'ui') this.ui = address
      if (event === 'ready') {
        this.peerId = peerId
        this.address = this.addresses.find(address => address.includes('/ws/'))
        this.port = Number(/\/tcp\/(\d+)\//.exec(this.address)[1])
        return
      }
    }
  }

  // Its address, by way of another port.
  addressBy(port) {
    return this.address.replace(`/tcp/${this.port}/`, `/tcp/${port}/`)
  }

  // The value of one of its metrics, with labels as they stand in the text.
  async metric(name) {
    const text = await (await fetch(`${this.http}/metrics`)).text()
    const line = text.split('\n').find(line => line.startsWith(`${name} `))
    if (line === undefined) throw new Error(`the relay has no metric ${name}`)
    return Number(line.slice(name.length))
  }

  // Offences that it has counted, by kind, without those it has not.
  async offences() {
    const text = await (await fetch(`${this.http}/metrics`)).text()
    const counts = [...text.matchAll(/^mesh_offences_total\{offence="([a-z-]+)"\} (\d+)$/gm)]
    return Object.fromEntries(counts.map(([, kind, count]) => [kind, Number(count)]).filter(([, count]) => count > 0))
  }

  async healthy() {
    const response = await fetch(`${this.http}/healthz`)
    return response.ok && (await response.text()).trim() === 'ok'
  }

  kill() {
    return this.program.kill()
  }

  end() {
    return this.program.end()
  }
}
