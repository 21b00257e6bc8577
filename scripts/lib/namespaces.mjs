// Network namespaces, for the tests that break the network between real processes: whether this machine permits them, and
// which of its tools drops packets.

import { existsSync } from 'node:fs'
import { ask } from './run.mjs'

/** What drops packets: iptables or nft, whichever is there. */
export const droppers = ['iptables', 'nft']

// undefined when this process may make network namespaces, else why not and what to do, in one line. It asks the kernel,
// not `ip`, which may not be installed yet.
export function whyNoNamespaces() {
  if (process.platform !== 'linux') return 'only Linux has network namespaces: run it on a Linux machine'
  if (process.getuid() !== 0) return 'network namespaces take root: run it as root'
  if (ask('unshare', ['--net', '--mount', 'true']) === undefined) {
    return 'this machine permits no network namespaces: give it CAP_NET_ADMIN and CAP_SYS_ADMIN (a container: --privileged)'
  }
  return existsSync('/sys/class/net') ? undefined : 'there is no /sys here: mount it'
}

// The tools that are there, { ip: version, dropper: version }; undefined for one that is not.
export function namespaceTools() {
  const [dropper] = droppers.map(name => ask(name, ['--version'])).filter(version => version !== undefined)
  return { ip: ask('ip', ['-V']), dropper }
}
