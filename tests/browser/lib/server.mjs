// A static server on a free port of 127.0.0.1: the page as it is built at /, the test pages at /test/, and the packages
// as npm installed them at /npm/, for test pages that take them without a bundler.

import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join, normalize, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { at } from '../../../scripts/lib/paths.mjs'

const ROOTS = {
  '/test/': fileURLToPath(new URL('../pages', import.meta.url)),
  '/npm/neural-mesh/': at('bindings-ts'),
  '/npm/': at('node_modules'),
  '/': at('www/dist'),
}

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}

// Resolves to a server: { origin, relayJson, close() }. `relayJson` is what GET /relay.json answers, as a relay that
// serves the page would; undefined, as now, is 404.
export async function serve() {
  const state = { relayJson: undefined }
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    if (pathname === '/relay.json' && state.relayJson !== undefined) {
      return response.setHeader('content-type', 'application/json').end(JSON.stringify(state.relayJson))
    }
    const body = await read(pathname)
    if (body === undefined) return response.writeHead(404).end('not found')
    const type = TYPES[extname(pathname) || '.html'] ?? 'application/octet-stream'
    return response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
  })
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return Object.assign(state, {
    origin: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.closeAllConnections()
      return new Promise(resolve => server.close(resolve))
    },
  })
}

// The bytes of a file, or undefined when there is none or it is not below its root.
async function read(pathname) {
  const prefix = Object.keys(ROOTS).find(prefix => pathname.startsWith(prefix))
  const root = ROOTS[prefix]
  const rest = decodeURIComponent(pathname.slice(prefix.length))
  const path = normalize(join(root, rest === '' ? 'index.html' : rest))
  if (!path.startsWith(root + sep)) return undefined
  return readFile(path).catch(() => undefined)
}
