// Network namespaces, for the tests that break the network between real processes: whether this machine permits them, and
// which of the tools for them it has.

import { readFileSync } from 'node:fs'
import { ask } from './run.mjs'

// What drops packets: whichever is there.
const droppers = ['iptables', 'nft']
// Bits of a set of capabilities, as in capabilities(7).
const needed = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n }

// undefined when this process may make network namespaces, else why not and what to do, in one line. `ip` is tried too when
// it is there.
export function whyNoNamespaces() {
  if (process.platform !== 'linux') return 'only Linux has network namespaces: run it on a Linux machine'
  if (process.getuid() !== 0) return 'network namespaces take root: run it as root'
  const held = BigInt(`0x${/^CapEff:\s+(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]}`)
  const missing = Object.keys(needed).filter(name => !((held >> needed[name]) & 1n))
  if (missing.length > 0) return `root lacks ${missing.join(' and ')} here: give them to it (a container: --privileged)`
  const permitted = ask('unshare', ['--net', '--mount', 'true']) !== undefined && ipWorks()
  return permitted ? undefined : 'this machine permits no network namespaces: see what `ip netns add trial` says'
}

// The versions of the tools that are there; undefined for one that is not.
export function namespaceTools() {
  const [dropper] = droppers.map(name => ask(name, ['--version'])).filter(version => version !== undefined)
  return { ip: ask('ip', ['-V']), dropper }
}

function ipWorks() {
  if (ask('ip', ['-V']) === undefined) return true
  const trial = `nm-${process.pid}-trial`
  const added = ask('ip', ['netns', 'add', trial]) !== undefined
  if (added) ask('ip', ['netns', 'delete', trial])
  return added
}
