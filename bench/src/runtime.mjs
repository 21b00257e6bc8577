import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const FOLDER = fileURLToPath(new URL('../runtime', import.meta.url))
const NEEDED = 22

/**
 * The Node.js that all agents of both sides run on: this one, or where it is older than js-libp2p needs, the one that
 * `runtime/` installs from npm. It is no dependency of the workspace, because npm would then put it first on the PATH of
 * every script of the project.
 *
 * @param {(line: string) => void} say
 * @returns {Promise<{ node: string, version: string }>}
 */
export async function newEnoughNode(say) {
  if (majorOf(process.version) >= NEEDED) return { node: process.execPath, version: process.version }
  const { platform, arch } = process
  const name = `node-${platform === 'win32' ? 'win' : platform}-${arch}`
  const node = join(FOLDER, 'node_modules', name, 'bin', platform === 'win32' ? 'node.exe' : 'node')
  if (!existsSync(node)) {
    say(`this is Node.js ${process.version}, js-libp2p needs ${NEEDED}: installing ${name} into bench/runtime`)
    await run('npm', ['ci', '--prefix', FOLDER, '--no-audit', '--no-fund'], {
      cwd: dirname(FOLDER),
      shell: platform === 'win32',
    })
  }
  if (!existsSync(node))
    throw new Error(`no Node.js package for ${platform} ${arch}: start the bench with Node.js ${NEEDED} or newer`)
  const { stdout } = await run(node, ['--version'])
  return { node, version: stdout.trim() }
}

const run = promisify(execFile)

/**
 * @param {string} version like v24.1.0
 */
function majorOf(version) {
  return Number(version.slice(1).split('.')[0])
}
