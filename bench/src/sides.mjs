import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const BENCH = fileURLToPath(new URL('..', import.meta.url))
const ROOT = dirname(dirname(fileURLToPath(new URL('.', import.meta.url))))

/** @typedef {import('./processes.mjs').Processes} Processes */

/**
 * One of what is compared: how its relay and its agents are started. Beyond this the scenarios know no difference.
 *
 * @typedef {object} Side
 * @property {'ours' | 'raw' | 'theirs' | 'helia'} id as in the name of its module in `pages/`
 * @property {string} label
 * @property {string} agentFile
 * @property {false | 'pages'} [relayed] false: it has no relay; 'pages': only its pages have one
 * @property {() => string | undefined} missing why it cannot run here
 * @property {() => Record<string, string>} versions
 * @property {(processes: Processes, options?: RelayOptions) => Promise<string>} startRelay resolves to its multiaddr
 */

/**
 * @typedef {object} RelayOptions
 * @property {string} [announce] one more multiaddr, without peer id, under which others reach it
 * @property {Uint8Array} [charter] of the mesh, where people vote
 */

/**
 * @param {{ relayFile?: string }} options relayFile: instead of the one that was built
 * @returns {Side}
 */
export function ours({ relayFile = builtRelay() }) {
  return {
    id: 'ours',
    label: 'neural-mesh',
    agentFile: join(BENCH, 'ours/agent.mjs'),
    missing() {
      if (!existsSync(join(ROOT, 'bindings-ts/dist/index.js'))) return 'neural-mesh is not built (npm run build)'
      if (relayFile === undefined) return 'the relay is not built (cargo build --release -p mesh-relay)'
    },
    versions: () => ({
      'neural-mesh': packageVersion(join(ROOT, 'bindings-ts/package.json')),
      'mesh-relay':
        relayFile === undefined
          ? 'missing'
          : isDebug(relayFile)
            ? 'DEBUG BUILD, figures do not count'
            : 'release build',
    }),
    async startRelay(processes, { announce, charter } = {}) {
      if (relayFile === undefined) throw new Error('the relay is not built')
      const folder = await mkdtemp(join(tmpdir(), 'mesh-bench-'))
      const charterFile = join(folder, 'charter')
      if (charter !== undefined) await writeFile(charterFile, charter)
      const relay = processes.spawn(relayFile, [
        '--json',
        ...(charter === undefined ? ['--mesh', 'bench'] : ['--charter', charterFile]),
        '--no-mdns',
        '--stun',
        'off',
        '--key',
        join(folder, 'key'),
        '--listen',
        '/ip4/127.0.0.1/tcp/0/ws',
        '--http',
        '127.0.0.1:0',
        ...(announce === undefined ? [] : ['--external', announce]),
      ])
      relay.ended.then(() => rm(folder, { recursive: true, force: true }))
      return readyAddress(relay, announce)
    },
  }
}

/**
 * @param {{ node: string }} options node: path of a Node.js binary of version 22 or newer
 * @returns {Side}
 */
export function theirs({ node }) {
  const packages = [
    'libp2p',
    '@libp2p/websockets',
    '@libp2p/webrtc',
    '@libp2p/circuit-relay-v2',
    '@libp2p/gossipsub',
    '@libp2p/noise',
    '@libp2p/yamux',
  ]
  return {
    id: 'theirs',
    label: 'js-libp2p',
    agentFile: join(BENCH, 'theirs/agent.mjs'),
    missing: () =>
      packages.every(name => installed(name) !== undefined) ? undefined : 'js-libp2p is not installed (npm ci)',
    versions: () => Object.fromEntries(packages.map(name => [name, packageVersion(installed(name))])),
    async startRelay(processes, options = {}) {
      const relay = processes.fork(node, join(BENCH, 'theirs/relay.mjs'))
      return (await relay.call('start', options)).address
    },
  }
}

/**
 * Helia, whose nodes reach each other by TCP and Bitswap without anything between them; its pages find each other by a relay.
 *
 * @param {{ node: string }} options node: path of a Node.js binary of version 22 or newer
 * @returns {Side}
 */
export function helia({ node }) {
  const packages = ['helia', '@helia/bitswap', '@helia/unixfs', '@libp2p/tcp']
  return {
    id: 'helia',
    label: 'Helia',
    agentFile: join(BENCH, 'theirs/helia.mjs'),
    relayed: 'pages',
    missing: () =>
      packages.every(name => installed(name) !== undefined) ? undefined : 'Helia is not installed (npm ci)',
    versions: () => Object.fromEntries(packages.map(name => [name, packageVersion(installed(name))])),
    startRelay: theirs({ node }).startRelay,
  }
}

/**
 * A data channel with nothing on top of it, between pages.
 *
 * @returns {Side}
 */
export function raw() {
  return {
    id: 'raw',
    label: 'raw channel',
    agentFile: '',
    relayed: false,
    missing: () => undefined,
    versions: () => ({}),
    startRelay() {
      throw new Error('there is no relay')
    },
  }
}

/**
 * Reads `mesh-relay --json` until it is ready.
 *
 * @param {import('./processes.mjs').Child} relay
 * @param {string} [announced] an address that it prints too, but does not listen on
 * @returns {Promise<string>} its first listen address
 */
function readyAddress(relay, announced) {
  return new Promise((resolve, reject) => {
    /** @type {string[]} */
    const addresses = []
    const lines = createInterface({ input: /** @type {import('node:stream').Readable} */ (relay.process.stdout) })
    lines.on('line', line => {
      const { event, address } = JSON.parse(line)
      if (event === 'listening' && !(announced && address.startsWith(announced))) addresses.push(address)
      if (event === 'ready') resolve(addresses[0])
    })
    relay.ended.then(how => reject(new Error(`relay: ${how} ${relay.stderr}`)))
  })
}

/**
 * The release build, else the debug build.
 */
function builtRelay() {
  const name = process.platform === 'win32' ? 'mesh-relay.exe' : 'mesh-relay'
  return ['release', 'debug'].map(profile => join(ROOT, 'target', profile, name)).find(file => existsSync(file))
}

/**
 * @param {string} file
 */
function isDebug(file) {
  return file.split(/[\\/]/).includes('debug')
}

/**
 * @param {string} name
 * @returns {string | undefined} path of the package.json
 */
function installed(name) {
  return createRequire(import.meta.url)
    .resolve.paths(name)
    ?.map(folder => join(folder, name, 'package.json'))
    .find(file => existsSync(file))
}

/**
 * @param {string | undefined} file
 * @returns {string}
 */
function packageVersion(file) {
  return file === undefined || !existsSync(file) ? 'missing' : JSON.parse(readFileSync(file, 'utf8')).version
}
