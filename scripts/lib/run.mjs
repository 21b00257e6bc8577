// Runs a program with a time limit and leaves nothing behind: past the limit, or when this script ends or is interrupted,
// the program and everything it started are ended, by their process group.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { root } from './paths.mjs'
import { Stop, seconds } from './print.mjs'

const groups = process.platform !== 'win32'
const alive = new Set()
const endings = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }
const end = name => process.exit(endings[name])

// output: 'show' prints as it comes (stdin is always closed), 'keep' returns it, 'both' does both. `low`: whatever else wants a
// processor goes first.
// Resolves to { code, timedOut, output, ms }; rejects only when the program cannot be started.
export function run(command, args, { cwd = root, env = {}, limitMs = 60_000, output = 'keep', low = false } = {}) {
  const began = Date.now()
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: groups,
      shell: process.platform === 'win32' && command === 'npm',
      stdio: output === 'show' ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    })
    alive.add(child)
    if (low && child.pid !== undefined) lower(child.pid)
    const chunks = []
    const keep = stream => chunk => {
      chunks.push(chunk)
      if (output === 'both') stream.write(chunk)
    }
    child.stdout?.on('data', keep(process.stdout))
    child.stderr?.on('data', keep(process.stderr))

    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      signal(child, 'SIGTERM')
      setTimeout(() => signal(child, 'SIGKILL'), 3000).unref()
    }, limitMs)

    child.once('error', error => {
      clearTimeout(timer)
      alive.delete(child)
      reject(error)
    })
    // 'close' comes after the last byte, but not while a grandchild holds the pipe: it gets two seconds, then it is ended.
    let grace
    child.once('exit', () => (grace = setTimeout(() => signal(child, 'SIGKILL'), 2000)))
    child.once('close', code => {
      clearTimeout(timer)
      clearTimeout(grace)
      signal(child, 'SIGKILL')
      alive.delete(child)
      resolve({ code: code ?? 1, timedOut, output: Buffer.concat(chunks).toString(), ms: Date.now() - began })
    })
  })
}

// As run(), but a failure is a Stop that names the command and says `next`.
export async function must(command, args, { next, what = [command, ...args].join(' '), ...options } = {}) {
  const result = await run(command, args, options).catch(error => {
    throw new Stop(`${what}: ${error.code === 'ENOENT' ? `${command} is not installed` : error.message}`, next)
  })
  if (result.timedOut) throw new Stop(`${what}: gave up after ${seconds(result.ms)}`, next, result.output)
  if (result.code !== 0) throw new Stop(`${what}: exit code ${result.code}`, next, result.output)
  return result
}

// A short question to a program: its trimmed output, or undefined when it is absent, fails or takes over 20 s.
export function ask(command, args, { env = {}, cwd = root } = {}) {
  const { status, stdout } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return status === 0 ? stdout.trim() : undefined
}

// Hands the terminal to a program, without a time limit, and resolves to its exit code. Ctrl-C reaches the program, which
// ends in its own way; we only wait for it.
export function hand(command, args, { env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      shell: process.platform === 'win32' && command === 'npm',
      stdio: 'inherit',
    })
    for (const name of Object.keys(endings)) process.removeListener(name, end)
    process.on('SIGINT', () => {})
    for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name))
    child.once('error', reject)
    child.once('exit', (code, name) => resolve(code ?? endings[name] ?? 1))
  })
}

// Long builds show their progress to a person and stay quiet in a log, where their output is printed on failure only.
export const progress = process.stdout.isTTY ? 'show' : 'keep'

// Linux divides the processors among sessions first, and this is one of its own: a priority counts only within it.
function lower(pid) {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
    const session = `/proc/${pid}/autogroup`
    if (existsSync(session)) writeFileSync(session, `${constants.priority.PRIORITY_LOW}`)
  } catch {
    // Already gone, or a kernel that has it otherwise: it is slower for the others, no more.
  }
}

function signal(child, name) {
  try {
    if (groups) process.kill(-child.pid, name)
    else child.kill(name)
  } catch {
    // Already gone.
  }
}

const endAll = () => alive.forEach(child => signal(child, 'SIGKILL'))

process.on('exit', endAll)
for (const name of Object.keys(endings)) process.on(name, end)
