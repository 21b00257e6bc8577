// What Node.js 20 lacks and the packages of libp2p and Helia, which ask for 22, name when they are imported or begin. To
// be imported before them.

import { createRequire } from 'node:module'

// Not `import` with `await`: what is imported beside this would not wait for it.
const require = createRequire(import.meta.url)

Promise.withResolvers ??= function withResolvers() {
  const resolvers = {}
  resolvers.promise = new this((resolve, reject) => Object.assign(resolvers, { resolve, reject }))
  return resolvers
}

// Nor WebSocket, which js-libp2p dials with.
globalThis.WebSocket ??= require('ws').WebSocket

// undici 8 asks for both when it is imported; Helia has it for gateways, of which nothing here asks one.
require('node:worker_threads').markAsUncloneable ??= () => {}
require('node:zlib').createZstdDecompress ??= () => {
  throw new Error('Node.js 20 has no zstd')
}
