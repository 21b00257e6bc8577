// The script of a page with one node. See ../lib/peers.mjs for the other end.

import { Driver } from './driver.mjs'
import { startOurs } from './ours.mjs'
import { startTheirs } from './theirs.mjs'

const driver = new Driver()

globalThis.interop = {
  call: (method, args) => (method === 'start' ? start(...args) : driver[method](...args)),
}

const start = (kind, options) => driver.start(kind === 'js' ? startTheirs : startOurs, options)
