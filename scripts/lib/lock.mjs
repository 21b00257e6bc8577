// One set-up or build at a time: `npm start` and `npm test` in two terminals must not install or compile the same thing
// twice. The holder touches the lock every 5 s; a lock whose holder is gone, or that was not touched for a minute, is
// taken over. Whoever waits says so and gives up after 45 minutes.

import { existsSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { at } from './paths.mjs'
import { Stop, busy } from './print.mjs'

const path = at('.tools/lock')
const STALE_MS = 60_000
const GIVE_UP_MS = 45 * 60_000
let depth = 0

// Runs `body` while holding the lock; a call inside another one's body does not wait for itself.
export async function withLock(body) {
  if (depth === 0) await take()
  depth++
  const beat = setInterval(touch, 5000)
  try {
    return await body()
  } finally {
    clearInterval(beat)
    if (--depth === 0) rmSync(path, { force: true })
  }
}

async function take() {
  if (!existsSync(at('.tools'))) mkdirSync(at('.tools'))
  const until = Date.now() + GIVE_UP_MS
  for (let told = false; ; told = true) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' })
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw new Stop(`cannot write ${path}: ${error.code}`, 'run this as the owner of this folder')
    }
    if (isStale()) {
      rmSync(path, { force: true })
      continue
    }
    if (!told) busy(`another set-up or build of this folder is running (process ${holder()}); waiting for it`)
    if (Date.now() > until) throw new Stop(`process ${holder()} has held ${path} for 45 minutes`, `end it, or remove ${path}`)
    await sleep(500)
  }
}

function touch() {
  try {
    utimesSync(path, new Date(), new Date())
  } catch {
    // Somebody removed it by hand; the compilers' own locks still hold.
  }
}

function holder() {
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch {
    return 0
  }
}

function isStale() {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return true
    process.kill(holder(), 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

process.on('exit', () => {
  if (depth > 0) rmSync(path, { force: true })
})
