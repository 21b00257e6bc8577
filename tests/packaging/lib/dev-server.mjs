// Vite's development server, as a process of its own.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

// Resolves to the server: { origin, close() }. `vite` is the folder below node_modules that it is installed in.
export async function startVite(project, vite, ...args) {
  const program = join(project, 'node_modules', vite, 'bin/vite.js')
  const child = spawn(process.execPath, [program, 'dev', '--host', '127.0.0.1', '--port', '0', ...args], {
    cwd: project,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = new Promise(resolve => child.once('close', resolve))
  let errors = ''
  child.stderr.on('data', chunk => (errors = (errors + chunk).slice(-4000)))
  const close = () => {
    child.kill()
    return closed
  }
  for await (const line of createInterface({ input: child.stdout })) {
    const [origin] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? []
    // What it says later is of no interest, but has to go somewhere.
    child.stdout.resume()
    if (origin) return { origin, close }
  }
  throw new Error(`${vite} ended with code ${await closed}: ${errors}`)
}
