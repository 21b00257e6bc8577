// What every block store does: in Node.js by block-stores.test.ts, and for indexedDbBlocks() in Chromium, which takes this
// file as it is, by tests/browser/block-stores.test.mjs. So it is JavaScript, and imports nothing.

/** @typedef {import('../src/store/blocks.js').BlockStore} BlockStore */
/** @typedef {import('../src/store/blocks.js').StoredBlock} StoredBlock */
/** @typedef {() => BlockStore} Open gives what opens the store of a test, again and again */

const KIB = 1024
const MIB = 1024 * KIB
const CID = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

/** @type {Record<string, (open: Open) => Promise<void>>} */
export const contract = {
  async 'empty at first, and of nothing after nothing'(open) {
    await withStore(open, async store => {
      equal(await store.list(), [])
      await store.put([])
      await store.delete([])
      equal(await store.get(CID), undefined)
    })
    equal(await kept(open), {})
  },

  async 'list() comes first, and once'(open) {
    await withStore(open, async store => {
      await rejects('invalid-argument', /call list\(\) before get\(\)/, store.get('a'))
      await rejects('invalid-argument', /call list\(\) before put\(\)/, store.put([block('a', '1')]))
      await rejects('invalid-argument', /call list\(\) before delete\(\)/, store.delete(['a']))
      await store.list()
      await rejects('invalid-argument', /called once/, store.list())
      await store.put([block('a', '1')])
    })
    equal(await kept(open), { a: '1' })
  },

  async 'calls may follow list() at once'(open) {
    await withStore(open, async store => {
      const calls = [store.list(), store.put([block('a', '1')]), store.delete(['b']), store.get('c')]
      equal(await Promise.all(calls), [[], undefined, undefined, undefined])
    })
    equal(await kept(open), { a: '1' })
  },

  async 'a store that was never listed can be closed'(open) {
    await open().close()
  },

  async 'closing is idempotent, lets calls end, and is the end'(open) {
    const store = open()
    await store.list()
    await store.put([block('a', '1')])
    const calls = Promise.all([store.put([block('b', '2')]), store.get('a'), store.delete(['none']), store.put([block('c', '3')])])
    await Promise.all([store.close(), store.close()])
    equal(text((await calls)[1]), '1')
    await store.close()
    for (const call of [store.list(), store.get('b'), store.put([block('d', '4')]), store.delete(['b'])]) {
      await rejects('closed', /is closed/, call)
    }
    equal(await kept(open), { a: '1', b: '2', c: '3' })
  },

  async 'what is put is kept, with any bytes and with none, until it is deleted'(open) {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i)
    await withStore(open, async store => {
      await store.list()
      await store.put([{ cid: 'all', data: all }, block('empty', ''), block('gone', '1'), block('later', '1')])
      await store.delete(['gone', 'gone', 'none'])
      equal(await store.get('gone'), undefined)
      equal(await store.get('empty'), new Uint8Array())
    })
    await withStore(open, async store => {
      equal((await store.list()).sort(), [['all', 256], ['empty', 0], ['later', 1]])
      equal(await store.get('all'), all)
      equal(await store.get('empty'), new Uint8Array())
      equal(await store.get('gone'), undefined)
      await store.delete(['later'])
    })
    equal(Object.keys(await kept(open)).sort(), ['all', 'empty'])
  },

  async 'later blocks go over earlier ones of the same CID, also within a put'(open) {
    await withStore(open, async store => {
      await store.list()
      await store.put([block('a', 'first'), block('b', 'same'), block('c', 'long')])
      await store.put([block('a', '2'), block('a', 'third'), block('b', 'emas'), block('c', 'l')])
      equal(text(await store.get('a')), 'third')
      equal(text(await store.get('c')), 'l')
    })
    equal(await kept(open), { a: 'third', b: 'emas', c: 'l' })
  },

  async 'CIDs and blocks at the limit are taken, and one more is refused and changes nothing'(open) {
    const longest = 'z09'.repeat(43).slice(1)
    const largest = new Uint8Array(2 * MIB).fill(7)
    await withStore(open, async store => {
      await store.list()
      await store.put([block('0', '1'), { cid: longest, data: largest }])
      /** @param {string} code @param {RegExp} message @param {StoredBlock} bad */
      const refuse = (code, message, bad) => rejects(code, message, store.put([block('first', 'x'), bad]))
      for (const cid of ['', `${longest}0`, 'A', 'é', 'a\n', 'a.b', '../a', wrong(7), wrong(undefined)]) {
        await refuse('invalid-argument', /the CID of a block is 1 to 128 characters/, block(cid, '1'))
        await rejects('invalid-argument', /the CID of a block/, store.get(cid))
        await rejects('invalid-argument', /the CID of a block/, store.delete(['0', cid]))
      }
      await refuse('invalid-argument', /must be a Uint8Array/, { cid: 'a', data: wrong('text') })
      await refuse('too-large', /the block a has 2097153 bytes; at most 2097152/, { cid: 'a', data: new Uint8Array(2 * MIB + 1) })
      await rejects('invalid-argument', /takes an array/, store.put(wrong(block('a', '1'))))
      await rejects('invalid-argument', /takes an array/, store.delete(wrong('0')))
    })
    await withStore(open, async store => {
      equal((await store.list()).sort(), [['0', 1], [longest, 2 * MIB]])
      equal(same(await store.get(longest), largest), true)
    })
  },

  async 'a put of 64 MiB is taken, and of one byte more is refused'(open) {
    const data = new Uint8Array(2 * MIB)
    const blocks = Array.from({ length: 32 }, (_, i) => ({ cid: `b${i}`, data }))
    await withStore(open, async store => {
      await store.list()
      await rejects('too-large', /one put\(\) of blocks has 67108865 bytes; at most 67108864/, store.put([...blocks, block('more', '1')]))
      equal(await store.get('b0'), undefined)
      await store.put([...blocks, block('nothing', '')])
    })
    await withStore(open, async store => {
      const sizes = new Map(await store.list())
      equal([sizes.size, sizes.get('b0'), sizes.get('b31')], [33, 2 * MIB, 2 * MIB])
      equal(same(await store.get('b31'), data), true)
      await store.delete([...sizes.keys()])
    })
    equal(await kept(open), {})
  },

  async 'of a view what it shows is kept; given back it is the caller\'s, and so is what is got'(open) {
    await withStore(open, async store => {
      await store.list()
      const shared = bytes('-value-')
      await store.put([{ cid: 'view', data: shared.subarray(1, 6) }, { cid: 'whole', data: shared }])
      shared.fill(0)
      const got = await store.get('view')
      equal([text(got), got?.constructor === Uint8Array, got?.buffer.byteLength], ['value', true, 5])
      got?.fill(0)
      equal(text(await store.get('view')), 'value')
    })
    equal(await kept(open), { view: 'value', whole: '-value-' })
  },

  async 'changes that overlap are made in the order of the calls'(open) {
    /** @type {number[]} */
    const order = []
    await withStore(open, async store => {
      await store.list()
      await Promise.all(Array.from({ length: 30 }, async (_, i) => {
        await (i % 3 === 2 ? store.delete(['a']) : store.put([block('a', `${i}`.repeat(i)), block(`${i % 3}`, `${i}`)]))
        order.push(i)
      }))
    })
    equal(order, [...order.keys()])
    equal(await kept(open), { 0: '27', 1: '28' })
  },

  async 'while a block is put, over itself and with another length, and deleted, who gets it gets all of it or nothing'(open) {
    await withStore(open, async store => {
      await store.list()
      let changing = true
      const changes = (async () => {
        for (let i = 0; i < 60; i++) {
          const calls = [store.put([filled('a', i)]), store.put([filled('a', i % 2), filled('b', i)])]
          if (i % 4 === 3) calls.push(store.delete(['a']))
          await Promise.all(calls)
          await turn()
        }
      })().finally(() => (changing = false))
      let whole = 0
      const reader = async () => {
        while (changing) {
          if (isFilled(await store.get('a'))) whole++
          await turn()
        }
      }
      await Promise.all([changes, reader(), reader(), reader(), reader()])
      equal(whole > 10, true)
      equal(await store.get('a'), undefined)
      equal(same(await store.get('b'), filled('b', 59).data), true)
    })
  },

  async 'many may be got at a time'(open) {
    await withStore(open, async store => {
      await store.list()
      await store.put(Array.from({ length: 50 }, (_, i) => filled(`b${i}`, i)))
      const got = await Promise.all(Array.from({ length: 1000 }, (_, i) => store.get(`b${i % 60}`)))
      got.forEach((data, i) => equal(i % 60 < 50 ? same(data, filled('', i % 60).data) : data === undefined, true))
    })
  },
}

/** @param {string} content */
const bytes = content => new TextEncoder().encode(content)

/** @param {Uint8Array | void} data */
const text = data => data && new TextDecoder().decode(data)

/** @param {string} cid @param {string} content @returns {StoredBlock} */
const block = (cid, content) => ({ cid, data: bytes(content) })

// A block of a length that belongs to the byte of which it is full.
/** @param {string} cid @param {number} i @returns {StoredBlock} */
const filled = (cid, i) => ({ cid, data: new Uint8Array(lengthOf(i)).fill(i) })

/** @param {number} i */
const lengthOf = i => 1 + ((i * 7919) % (40 * KIB))

// False when there is none; throws when it is not whole.
/** @param {Uint8Array | undefined} data */
function isFilled(data) {
  if (data === undefined) return false
  const [i = -1] = data
  equal(same(data, filled('', i).data), true)
  return true
}

/** @param {Uint8Array | undefined} a @param {Uint8Array} b */
const same = (a, b) => a?.length === b.length && b.every((byte, i) => byte === a[i])

// Lets everything else run: a store in memory needs no time of its own.
const turn = () => new Promise(resolve => setTimeout(resolve))

// What is not of the type that it has to be.
/** @param {unknown} value @returns {any} */
const wrong = value => value

/** @param {Open} open @param {(store: BlockStore) => Promise<void>} use */
async function withStore(open, use) {
  const store = open()
  try {
    await use(store)
  } finally {
    await store.close()
  }
}

// What a new store says is kept, as text.
/** @param {Open} open */
async function kept(open) {
  /** @type {Record<string, string | void>} */
  const contents = {}
  await withStore(open, async store => {
    for (const [cid, size] of await store.list()) {
      const data = await store.get(cid)
      equal(data?.length, size)
      contents[cid] = text(data)
    }
  })
  return contents
}

/** @param {unknown} actual @param {unknown} expected */
function equal(actual, expected) {
  const [was, wanted] = [actual, expected].map(show)
  if (was !== wanted) throw new Error(`it is ${was}, not ${wanted}`)
}

/** @param {unknown} value */
function show(value) {
  return JSON.stringify(value, (_, part) => {
    if (part instanceof Uint8Array) return { bytes: [...part] }
    if (part === undefined) return 'undefined'
    const plain = typeof part === 'object' && part !== null && !Array.isArray(part)
    return plain ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part
  })
}

/** @param {string} code @param {RegExp} message @param {Promise<unknown>} call */
async function rejects(code, message, call) {
  const error = await call.then(value => new Error(`it gives ${show(value)}`), reason => reason)
  if (error.code !== code || !message.test(error.message)) throw new Error(`not ${code}, ${message}`, { cause: error })
}
