// A network of its own for one test: hosts, each a network namespace with one cable to a switch, which is a bridge in a
// namespace of its own too. So nothing of the machine's own network is touched, no address of it can be taken already, and
// everything goes with the namespaces. Those are named after this process, and removed when the test is over, when this
// process ends early, and, if it was killed, by the next one.

import { spawnSync } from 'node:child_process'
import { dropperIn } from './loss.mjs'

const PREFIX = 'nm'
const SUBNET = '10.77.0'
const CABLE = 'eth0'

const networks = new Set()
let made = 0

// Every child has had its SIGKILL by now: lib/program.mjs of the end-to-end tests was there first.
process.on('exit', () => networks.forEach(network => network.remove()))

export class Network {
  #name = `${PREFIX}-${process.pid}-${made++}`
  #switch = `${this.#name}-switch`
  #hosts = []

  constructor() {
    removeLeftovers()
    networks.add(this)
    ip('netns', 'add', this.#switch)
    ip('-n', this.#switch, 'link', 'add', 'bridge', 'type', 'bridge')
    ip('-n', this.#switch, 'link', 'set', 'bridge', 'up')
  }

  // A host with an address of its own.
  host() {
    const n = this.#hosts.length + 1
    const host = new Host(`${this.#name}-${n}`, `${SUBNET}.${n}`, this.#switch, `port${n}`)
    this.#hosts.push(host)
    host.make()
    return host
  }

  // Each packet that arrives anywhere is dropped with a probability of `percent`, until `heal`.
  lose(percent) {
    this.#hosts.forEach(host => host.lose(percent))
  }

  heal() {
    this.#hosts.forEach(host => host.heal())
  }

  // Packets that have arrived and been dropped since `lose`, all hosts together.
  lost() {
    const counts = this.#hosts.map(host => host.lost())
    const sum = key => counts.reduce((total, count) => total + count[key], 0)
    return { arrived: sum('arrived'), dropped: sum('dropped') }
  }

  // Takes all away; what still runs in it loses its network.
  remove() {
    networks.delete(this)
    for (const { name } of this.#hosts) spawnSync('ip', ['netns', 'delete', name])
    spawnSync('ip', ['netns', 'delete', this.#switch])
  }
}

class Host {
  #switch
  #port
  #dropper

  constructor(name, address, switchName, port) {
    this.name = name
    this.address = address
    this.#switch = switchName
    this.#port = port
  }

  // The command that runs another command on this host, in its place: the process id is that of the latter.
  get command() {
    return ['ip', 'netns', 'exec', this.name]
  }

  make() {
    ip('netns', 'add', this.name)
    const ends = ['link', 'add', CABLE, 'type', 'veth', 'peer', 'name', this.#port, 'netns', this.#switch]
    ip('-n', this.name, ...ends)
    // IPv4 is the only way: what drops packets looks at nothing else.
    for (const [namespace, link] of [[this.name, CABLE], [this.#switch, this.#port], [this.#switch, 'bridge']]) {
      ip('-n', namespace, 'link', 'set', link, 'addrgenmode', 'none')
    }
    ip('-n', this.#switch, 'link', 'set', this.#port, 'master', 'bridge', 'up')
    ip('-n', this.name, 'address', 'add', `${this.address}/24`, 'dev', CABLE)
    ip('-n', this.name, 'link', 'set', 'lo', 'up')
    ip('-n', this.name, 'link', 'set', CABLE, 'up')
  }

  // The cable is pulled out at the switch: what runs on the host keeps its address and routes, and nothing gets through.
  unplug() {
    ip('-n', this.#switch, 'link', 'set', this.#port, 'down')
  }

  plug() {
    ip('-n', this.#switch, 'link', 'set', this.#port, 'up')
  }

  lose(percent) {
    this.#dropper = dropperIn(this.command)
    this.#dropper.start(percent)
  }

  heal() {
    this.#dropper.stop()
  }

  lost() {
    return this.#dropper.counts()
  }
}

// Namespaces of a process that is gone. What still runs in them is of it.
function removeLeftovers() {
  const names = output('ip', ['netns', 'list']).split('\n').map(line => line.split(' ')[0])
  for (const name of names) {
    const pid = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name)?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    for (const orphan of output('ip', ['netns', 'pids', name]).split('\n').filter(Boolean)) kill(Number(orphan))
    spawnSync('ip', ['netns', 'delete', name])
  }
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Already gone.
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

const ip = (...args) => output('ip', args)

/** Runs a command; what it prints. */
export function output(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 })
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')}: ${error?.message ?? stderr.trim()}`)
  return stdout
}
