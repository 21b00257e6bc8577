// A server for the files of one folder, on a free port of 127.0.0.1, as a careful site would set it up: with a content
// security policy.

import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join, normalize, sep } from 'node:path'
import { text } from 'node:stream/consumers'

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.wasm': 'application/wasm' }

// What a page with the package needs and no more. `scripts` are further sources of scripts.
export function policy({ wasm = true, scripts = [] } = {}) {
  const sources = ["'self'", ...(wasm ? ["'wasm-unsafe-eval'"] : []), ...scripts].join(' ')
  return `default-src 'none'; script-src ${sources}; worker-src 'self'; connect-src 'self' ws:; img-src data:; report-uri /violation`
}

// Resolves to a server: { origin, violations, close() }. `violations` are what browsers reported of breaches of the
// policy, by pages and by workers.
export async function serve(root, csp) {
  const violations = []
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    if (pathname === '/violation') {
      violations.push(await text(request))
      return response.writeHead(204).end()
    }
    const path = normalize(join(root, decodeURIComponent(pathname)))
    const body = path.startsWith(root + sep) && (await readFile(path).catch(() => undefined))
    if (!body) return response.writeHead(404).end('not found')
    const type = TYPES[extname(path)] ?? 'application/octet-stream'
    response.writeHead(200, { 'content-type': type, 'content-security-policy': csp }).end(body)
  })
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    violations,
    close() {
      server.closeAllConnections()
      return new Promise(resolve => server.close(resolve))
    },
  }
}
