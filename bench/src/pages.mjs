import { createReadStream, existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launch } from '../../tests/browser/lib/chromium.mjs'

const SOURCE = fileURLToPath(new URL('../pages', import.meta.url))
const BUILT = fileURLToPath(new URL('../dist', import.meta.url))
const TYPES = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.js', 'text/javascript'],
  ['.wasm', 'application/wasm'],
])

/** @type {Promise<unknown> | undefined} */
let building

/**
 * A Chromium with pages of one side, each in a context of its own, so in a process of its own, and without a thing in common.
 */
export class Pages {
  /** @type {Promise<import('playwright-core').Browser> | undefined} */
  #browser
  #server = createServer(answer)
  #ended = false

  /**
   * @param {string} side
   * @param {number} count
   * @returns {Promise<Page[]>}
   */
  async open(side, count) {
    await (building ??= build())
    if (this.#ended) throw new Error('the run is over')
    this.#browser = launch()
    const [browser, origin] = await Promise.all([this.#browser, this.#listen()])
    const pages = await Promise.all(
      Array.from({ length: count }, async () => {
        const tab = await (await browser.newContext()).newPage()
        return new Page(tab)
      }),
    )
    for (const page of pages) {
      const others = pages.filter(other => other !== page)
      await page.load(`${origin}/page.html?side=${side}`, told => others.forEach(other => other.tell(told)))
    }
    return pages
  }

  async end() {
    this.#ended = true
    const browser = await this.#browser?.catch(() => undefined)
    await browser?.close()
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /**
   * @returns {Promise<string>} the origin of its addresses
   */
  #listen() {
    return new Promise(resolve => {
      this.#server.listen(0, '127.0.0.1', () => {
        resolve(`http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.#server.address()).port}`)
      })
    })
  }
}

/**
 * A page with what `pages/page.mjs` can be asked.
 */
export class Page {
  #tab
  /** @type {Promise<never>} */
  #broken
  #break = (/** @type {Error} */ _reason) => {}

  /**
   * @param {import('playwright-core').Page} tab
   */
  constructor(tab) {
    this.#tab = tab
    this.#broken = new Promise((_resolve, reject) => {
      this.#break = reject
    })
    this.#broken.catch(() => {})
    tab.on('pageerror', error => this.#break(error))
    tab.on('crash', () => this.#break(new Error('the page crashed')))
  }

  /**
   * @param {string} url
   * @param {(told: object) => void} hear what the page has for the other one
   */
  async load(url, hear) {
    await this.#tab.exposeFunction('benchSignal', hear)
    await this.#tab.goto(url)
    await this.#orBroken(this.#tab.waitForFunction(() => 'bench' in globalThis))
  }

  /**
   * @param {object} told by another page
   */
  tell(told) {
    this.call('hear', told).catch(error => this.#break(error))
  }

  /**
   * @param {string} command
   * @param {object} [args]
   * @returns {Promise<any>}
   */
  call(command, args = {}) {
    const call = this.#tab.evaluate(
      ([command, args]) => /** @type {any} */ (globalThis).bench.call(command, args),
      /** @type {const} */ ([command, args]),
    )
    return this.#orBroken(call)
  }

  /**
   * @template T
   * @param {Promise<T>} work
   * @returns {Promise<T>}
   */
  #orBroken(work) {
    return Promise.race([work, this.#broken])
  }
}

/**
 * @returns {Promise<string>} the version of the Chromium that is used
 */
export async function chromiumVersion() {
  const browser = await launch()
  try {
    return browser.version()
  } finally {
    await browser.close()
  }
}

/** `pages/` and all that it imports, as a bundle. */
async function build() {
  const { build } = await import('vite')
  await build({
    root: SOURCE,
    base: './',
    configFile: false,
    logLevel: 'warn',
    build: {
      outDir: BUILT,
      emptyOutDir: true,
      target: 'esnext',
      assetsInlineLimit: 0,
      chunkSizeWarningLimit: Infinity,
      modulePreload: { polyfill: false },
      rolldownOptions: { input: join(SOURCE, 'page.html') },
    },
  })
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 */
function answer(request, response) {
  const { pathname } = new URL(request.url ?? '', 'http://localhost')
  const file = join(BUILT, pathname)
  const type = TYPES.get(extname(file))
  if (type === undefined || !file.startsWith(BUILT) || !existsSync(file)) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' })
  createReadStream(file).pipe(response)
}
