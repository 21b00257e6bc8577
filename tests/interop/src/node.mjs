// The program of a process with one node. See ../lib/peers.mjs for the other end.

import './node-20.mjs'
import { readFile } from 'node:fs/promises'
import { Driver } from './driver.mjs'

const driver = new Driver()

process.on('disconnect', () => process.exit())
process.on('message', async ({ id, method, args }) => {
  try {
    answer({ id, result: await (method === 'start' ? start(...args) : driver[method](...args)) })
  } catch (error) {
    answer({ id, error: String(error?.stack ?? error) })
  }
})

function answer(message) {
  if (process.connected) process.send(message)
}

async function start(kind, options) {
  if (kind === 'js') return driver.start((await import('./theirs.mjs')).startTheirs, options)
  await bringWebRtc()
  // libp2p-websocket-websys looks for a window or a worker.
  globalThis.WorkerGlobalScope ??= function WorkerGlobalScope() {}
  const { startOurs } = await import('./ours.mjs')
  const wasm = await readFile(new URL('../generated/interop_peer_bg.wasm', import.meta.url))
  return driver.start(startOurs, { ...options, wasm, hold: true })
}

async function bringWebRtc() {
  const { RTCPeerConnection, RTCError } = await import('node-datachannel/polyfill')
  // Its channels name this one on their way to report an error, and do not import it.
  globalThis.RTCError ??= RTCError
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(config) {
      super(config)
      // A connection that the other end closes keeps its native half until it is closed here too.
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'closed') this.close()
      })
    }
  }
}
