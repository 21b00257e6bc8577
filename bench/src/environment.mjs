import { cpus, loadavg, release, totalmem } from 'node:os'

/**
 * What the figures depend on besides the libraries.
 *
 * @param {{ nodeVersion: string, sides: import('./sides.mjs').Side[] }} options
 * @returns {Record<string, string>}
 */
export function environment({ nodeVersion, sides }) {
  const cores = cpus()
  return {
    machine: `${cores.length} x ${cores[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${process.platform} ${release()} ${process.arch}`,
    'Node.js of all agents': nodeVersion,
    ...Object.assign({}, ...sides.map(side => side.versions())),
  }
}

/**
 * @returns {string} the load averages over 1, 5 and 15 minutes
 */
export function load() {
  return loadavg()
    .map(value => value.toFixed(2))
    .join(' ')
}
