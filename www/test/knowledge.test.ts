import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError, type KnowledgeVersion, type Mesh, type PutOptions } from 'neural-mesh'
import { Holders } from '../src/holders.js'
import { Knowledge, MAX_PLACED, MAX_ROWS } from '../src/knowledge.js'
import { MAX_DRAWN_TEXT, MAX_SHOWN, fileName, givenBy, isReadable, jsonOf, kindOf, shown, typed, type Draft } from '../src/values.js'
import { ago, count } from '../src/words.js'

test('the latest keys are listed, and how many there are; a domain that was not heard of is empty', async t => {
  const { knowledge, write, until } = setUp(t)
  for (let i = 0; i < 3 * MAX_ROWS + 1; i++) write(version(`k${i}`, { writtenAt: (i * 7) % 1000 }))
  write(version('x', { domain: 'results' }))
  write(version('mine', { domain: 'alone@ada' }))
  assert.deepEqual(knowledge.domains.map(({ domain }) => domain), ['shared'])
  knowledge.begin()
  await until(() => knowledge.listed)
  assert.deepEqual([knowledge.rows.length, knowledge.total], [MAX_ROWS, 3 * MAX_ROWS + 1])
  const times = knowledge.rows.map(({ version }) => version.writtenAt)
  assert.deepEqual(times, [...times].sort((a, b) => b - a))
  assert.equal(times[0], 995)
  assert.deepEqual(knowledge.domains.map(({ domain, entries }) => [domain, entries]), [['shared', 301], ['alone@ada', 1], ['results', 1]])

  knowledge.choose('results')
  assert.deepEqual([knowledge.listed, knowledge.rows, knowledge.draft.domain], [false, [], 'results'])
  await until(() => knowledge.listed)
  assert.deepEqual(keys(knowledge), ['x'])
  knowledge.choose('new')
  await until(() => knowledge.listed)
  assert.deepEqual([keys(knowledge), knowledge.domains.map(({ domain }) => domain)], [[], ['shared', 'alone@ada', 'new', 'results']])

  knowledge.choose('shared')
  knowledge.search('k30')
  await until(() => knowledge.total === 2)
  assert.deepEqual(new Set(keys(knowledge)), new Set(['k30', 'k300']))
})

test('as many keys as are listed leave no others', async t => {
  const { knowledge, write, until } = setUp(t)
  for (let i = 0; i < MAX_ROWS; i++) write(version(`k${i}`))
  knowledge.begin()
  await until(() => knowledge.listed)
  assert.deepEqual([knowledge.rows.length, knowledge.total], [MAX_ROWS, MAX_ROWS])
})

test('many changes are one look, and what is over or taken away does not count as a sibling', async t => {
  const { knowledge, write, emit, until, calls } = setUp(t)
  knowledge.begin()
  await until(() => knowledge.listed)
  write(version('a', { author: 'bob', version: '2@bob' }), version('a'), version('a', { version: '3@eve', expiresAt: 1 }), version('a', { version: '4@eve', change: 'delete' }))
  const before = calls.keys
  for (let i = 0; i < 100; i++) emit('knowledge-changed', {})
  await until(() => knowledge.total === 1)
  assert.deepEqual([calls.keys - before, knowledge.rows[0]!.siblings], [1, 1])
  emit('store-failed', {})
  assert.equal(knowledge.keeps, false)
})

test('text, JSON and files are put; what is no JSON stays in the form', async t => {
  const { knowledge, puts, news, until } = setUp(t)
  knowledge.begin()
  await until(() => knowledge.storage !== undefined)
  knowledge.fill({ key: ' motto ', text: 'hello' })
  await knowledge.put()
  assert.deepEqual(puts, [['motto', 'hello', { domain: 'shared', ttlMs: undefined, waitMs: 0 }]])
  assert.deepEqual([knowledge.opened?.key, knowledge.goal, knowledge.draft.key, knowledge.draft.text], ['motto', undefined, '', ''])
  assert.ok(news.includes('Put: motto'))
  await until(() => knowledge.opened?.shown !== undefined)
  assert.deepEqual(knowledge.placed(knowledge.opened!.shown!), ['bob'])

  knowledge.fill({ kind: 'json', key: 'result', domain: 'results', text: '{', ttlMs: 1000 })
  await knowledge.put()
  assert.match(knowledge.trouble!.text, /^This is no JSON: /)
  assert.deepEqual([knowledge.draft.text, knowledge.draft.key, knowledge.busy, puts.length], ['{', 'result', false, 1])
  knowledge.fill({ text: '{ "a": [1] }' })
  await knowledge.put()
  assert.equal(knowledge.trouble, undefined)
  assert.deepEqual(puts[1], ['result', { a: [1] }, { domain: 'results', ttlMs: 1000, waitMs: 0 }])
  assert.equal(knowledge.domain, 'results', 'where it was put is shown')

  knowledge.take(new File(['1234567890'], 'w.bin', { type: 'image/png' }))
  assert.deepEqual([knowledge.draft.kind, knowledge.draft.key], ['file', 'w.bin'])
  knowledge.take(new File(['1234567890'], 'v.bin'))
  assert.equal(knowledge.draft.key, 'v.bin', 'a name that nobody has chosen goes')
  knowledge.fill({ key: 'weights' })
  knowledge.take(new File(['1234567890'], 'w.bin', { type: 'image/png' }))
  await knowledge.put()
  assert.deepEqual(puts[2], ['weights', new TextEncoder().encode('1234567890'), { domain: 'results', type: 'image/png', metadata: { name: 'w.bin' }, ttlMs: 1000, waitMs: 0 }])
  assert.equal(knowledge.draft.file, undefined)
  await knowledge.put()
  assert.equal(knowledge.trouble!.text, 'Choose a file first.')
  knowledge.dismiss()
  assert.equal(knowledge.trouble, undefined)
})

test('a file may have as many bytes as are kept, and no more', async () => {
  const draft = (bytes: number): Draft => ({ domain: '', key: '', kind: 'file', text: '', file: new File([new Uint8Array(bytes)], 'f'), ttlMs: 0 })
  assert.equal(((await givenBy(draft(10), 10)).value as Uint8Array).length, 10)
  await assert.rejects(givenBy(draft(11), 10), /^Error: f has 11 bytes, and this page keeps 10 bytes at most\.$/)
})

test('where contents were placed is remembered of the last that were put', async t => {
  const { knowledge } = setUp(t)
  for (let i = 0; i <= MAX_PLACED; i++) {
    knowledge.fill({ key: `${i}`, text: `${i}` })
    await knowledge.put()
  }
  const placed = (i: number) => knowledge.placed(version('', { cid: `cid of ${i}` }))
  assert.deepEqual([placed(0), placed(1), placed(MAX_PLACED)], [undefined, ['bob'], ['bob']])
})

test('an entry shows its value, its versions, and leaves one of them', async t => {
  const { knowledge, write, puts, until, emit } = setUp(t)
  const mine = version('a', { value: 'mine' })
  const theirs = version('a', { author: 'bob', version: '2@bob', value: Uint8Array.of(1, 2), type: 'image/png', metadata: { m: 1 }, replicas: 2, expiresAt: Date.now() + 60_000 })
  write(mine, theirs)
  knowledge.open('shared', 'a', 'entry-title')
  assert.equal(knowledge.goal, 'entry-title')
  const opened = knowledge.opened!
  await until(() => typeof opened.look === 'object')
  assert.deepEqual([opened.look, opened.versions.length], [{ value: 'mine' }, 2])
  opened.show(theirs)
  assert.equal(opened.look, 'aside', 'bytes are saved')
  await opened.refresh()
  assert.equal(opened.shown, theirs, 'what is looked at stays')
  assert.deepEqual(await knowledge.file(), { name: 'a', data: Uint8Array.of(1, 2) })

  await knowledge.keepOnly(theirs)
  assert.deepEqual(puts, [['a', Uint8Array.of(1, 2), { domain: 'shared', waitMs: 0, metadata: { m: 1 }, replicas: 2, expiresAt: theirs.expiresAt, type: 'image/png' }]])
  await knowledge.keepOnly(mine)
  assert.deepEqual(puts[1], ['a', 'mine', { domain: 'shared', waitMs: 0, metadata: undefined, replicas: 3, expiresAt: undefined }])

  await knowledge.delete('shared', 'b')
  assert.equal(knowledge.opened, opened, 'another key')
  write(version('a', { change: 'delete', version: '9@bob' }))
  emit('knowledge-changed', {})
  await until(() => opened.versions.length === 0)
  assert.deepEqual([opened.shown, opened.known], [undefined, true])
  await knowledge.delete('shared', 'a')
  assert.equal(knowledge.opened, undefined)
})

test('a value is fetched to be shown up to a bound; what cannot be had is said', async t => {
  const { knowledge, write, until } = setUp(t)
  write(version('fits', { size: MAX_SHOWN, value: 'fits' }))
  write(version('large', { size: MAX_SHOWN + 1, value: 'large' }))
  write(version('lost', { value: new MeshError('not-found', 'nobody has it') }))
  const look = async (key: string) => {
    knowledge.open('shared', key)
    await until(() => knowledge.opened!.known && knowledge.opened!.look !== 'coming')
    return knowledge.opened!.look
  }
  assert.deepEqual(await look('fits'), { value: 'fits' })
  assert.equal(await look('large'), 'aside')
  assert.deepEqual(await look('lost'), { failed: 'Nobody has it. Whoever has it may be back later: try again then.' })
  assert.equal(await knowledge.file(), undefined)
  assert.match(knowledge.trouble!.text, /^Nobody has it\./)
})

test('what is refused is told, and only one thing is written at a time', async t => {
  const { knowledge, mesh, puts } = setUp(t)
  knowledge.fill({ key: 'a', text: 'b' })
  await Promise.all([knowledge.put(), knowledge.put()])
  assert.equal(puts.length, 1)
  mesh.knowledge.delete = async () => Promise.reject(new MeshError('not-a-writer', 'it is of nora'))
  await knowledge.delete('plans@nora', 'a')
  assert.equal(knowledge.trouble!.text, 'It is of nora. Ask the owner of the domain.')
})

test('who holds what is asked of a few at a time, and again in doubt', async t => {
  const asked: string[] = []
  const answers: ((holders: string[]) => void)[] = []
  let told = () => {}
  const whoHas = (cid: string) => new Promise<string[]>(answer => (asked.push(cid), answers.push(answer)))
  const holders = new Holders({ peerId: 'me', knowledge: { whoHas } } as unknown as Mesh, () => told())
  t.after(() => holders.close())
  const answer = (who: string[]) => new Promise<void>(done => ((told = done), answers.shift()!(who)))
  const versions = [0, 1, 2, 3, 4, 5].map(i => version(`k${i}`, { cid: `c${i}` }))
  holders.look([...versions, version('same', { cid: 'c0' })])
  assert.deepEqual(asked, ['c0', 'c1', 'c2', 'c3'])
  assert.equal(holders.of(versions[0]!), undefined)
  await answer(['ada', 'bob', 'eve'])
  assert.deepEqual(holders.of(versions[0]!), { holders: ['ada', 'bob', 'eve'], copies: 2 }, 'beside its author')
  assert.equal(holders.of(version('k', { cid: 'c0', replicas: 1 }))!.copies, 1, 'not more than there are to be')
  assert.equal(asked.at(-1), 'c4')
  holders.told('c0', ['joe'])
  assert.deepEqual(holders.of(versions[0]!)!.holders, ['ada', 'bob', 'eve', 'joe', 'me'])

  for (let i = 0; i < 5; i++) await answer([`holder of ${i}`])
  assert.equal(asked.length, 6)
  holders.look(versions.slice(0, 1))
  assert.equal(asked.length, 6, 'that is known')
  assert.equal(holders.of(versions[1]!), undefined, 'that is looked at no more')
  holders.doubt({ peerId: 'somebody else' })
  assert.equal(asked.length, 6)
  holders.doubt({ peerId: 'bob' })
  assert.deepEqual(asked.slice(6), ['c0'])
  await answer(['ada'])
  assert.deepEqual(holders.of(versions[0]!), { holders: ['ada'], copies: 0 })
  holders.doubt({ cid: 'c0' })
  assert.equal(asked.length, 8)
})

test('what is looked at is asked for again, after twice as long each time', async t => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  let asked = 0
  const whoHas = async () => (asked++ === 0 ? ['ada'] : Promise.reject(new Error('closed')))
  const holders = new Holders({ peerId: 'me', knowledge: { whoHas } } as unknown as Mesh, () => {})
  const turn = () => new Promise(resolve => setImmediate(resolve))
  holders.look([version('k')])
  await turn()
  const gaps: number[] = []
  for (let gap = 0, before = asked; gaps.length < 7; before = asked) {
    t.mock.timers.tick(1000)
    gap++
    await turn()
    if (asked === before) continue
    gaps.push(gap)
    gap = 0
  }
  assert.deepEqual(gaps, [5, 10, 20, 40, 80, 160, 160])
  assert.deepEqual(holders.of(version('k'))?.holders, ['ada'], 'what was known stays')
  holders.close()
  t.mock.timers.tick(1_000_000)
  assert.equal(asked, 8)
})

test('values as people read them', () => {
  assert.deepEqual(['cbor', 'text', 'bytes', 'f32', 'u8c', 'image/png', '<b>'].map(kindOf), ['JSON', 'text', 'bytes', 'f32 numbers', 'u8c numbers', 'image/png', '<b>'])
  assert.deepEqual(['cbor', 'text', 'i64', 'bytes', 'text/html', 'image/svg+xml'].map(isReadable), [true, true, true, false, false, false])
  assert.deepEqual(shown('<img src=x onerror=alert(1)>'), { text: '<img src=x onerror=alert(1)>', more: 0 })
  assert.deepEqual(shown({ a: [1n, Uint8Array.of(1)] })?.text, '{\n "a": [\n  "1",\n  "<1 byte>"\n ]\n}')
  assert.equal(shown(Uint8Array.of(1)), undefined)
  assert.deepEqual(shown(Float32Array.of(0.5, NaN)), { text: '0.5, NaN', more: 0 })
  assert.equal(shown(new BigInt64Array(101))!.more, 1)
  assert.deepEqual([MAX_DRAWN_TEXT, MAX_DRAWN_TEXT + 1].map(length => shown('x'.repeat(length))!.more), [0, 2], 'the last gives way to an ellipsis')

  const file = (fields: object, isJson = false) => fileName(version('runs/7', fields), isJson)
  assert.deepEqual([file({}), file({ type: 'cbor' }, true), file({ type: 'cbor' }), file({ type: 'bytes' })], ['7.txt', '7.json', '7.cbor', '7'])
  assert.deepEqual([file({ metadata: { name: 'a.bin' } }), file({ metadata: { name: 7 } }), file({ metadata: null })], ['a.bin', '7.txt', '7.txt'])
  assert.equal(jsonOf({ a: 1, b: null }), '{\n "a": 1,\n "b": null\n}')
  for (const lossy of [1n, [Uint8Array.of(1)], { a: NaN }, [[Infinity]]]) assert.equal(jsonOf(lossy), undefined)
  assert.deepEqual([typed('image/png'), typed('bytes'), typed('a/ b'), typed(`a/${'b'.repeat(62)}`), typed(`a/${'b'.repeat(63)}`)], [{ type: 'image/png' }, {}, {}, { type: `a/${'b'.repeat(62)}` }, {}])
})

test('how long ago', () => {
  const [second, minute, hour] = [1000, 60_000, 3600_000]
  assert.deepEqual([-minute, 4999, 5 * second, 59_999, minute, hour, 47 * hour, 48 * hour].map(ago), ['now', 'now', '5 s ago', '59 s ago', '1 min ago', '1 h ago', '47 h ago', '2 days ago'])
  assert.deepEqual([count(1, 'entry', 'entries'), count(2, 'entry', 'entries'), count(2, 'key')], ['1 entry', '2 entries', '2 keys'])
})

const keys = (knowledge: Knowledge) => knowledge.rows.map(({ version }) => version.key)

// A version as the mesh tells of it, with its value, or the error that comes instead.
function version(key: string, { value = 'value', ...fields }: Partial<Omit<KnowledgeVersion, 'value'>> & { value?: unknown } = {}): KnowledgeVersion {
  const made = { domain: 'shared', key, change: 'put', version: '1@ada', author: 'ada', writtenAt: 7, cid: `cid of ${value}`, size: 5, type: 'text', replicas: 3 }
  const read = async () => (value instanceof Error ? Promise.reject(value) : value)
  return { ...made, ...fields, value: read } as unknown as KnowledgeVersion
}

// A mesh of which only what knowledge needs is there; `write` says what stands under a key.
function setUp(t: { after(end: () => void): void }) {
  const listeners = new Map<string, (event: object) => void>()
  const entries = new Map<string, readonly KnowledgeVersion[]>()
  const puts: [string, unknown, PutOptions][] = []
  const news: string[] = []
  const calls = { keys: 0 }
  const write = (...versions: KnowledgeVersion[]) => entries.set(`${versions[0]!.domain} ${versions[0]!.key}`, versions)
  const of = (domain: string) => [...entries.values()].filter(([first]) => first!.domain === domain)
  const knowledge = {
    domains: async () => [...new Set([...entries.values()].map(([first]) => first!.domain))].map(domain => ({ domain, entries: of(domain).length, digest: '' })),
    async *keys(domain: string, { prefix, signal }: { prefix: string; signal: AbortSignal }) {
      calls.keys++
      for (const [first] of of(domain)) {
        signal.throwIfAborted()
        if (first!.key.startsWith(prefix)) yield first!
      }
    },
    entries: async (key: string, { domain }: { domain: string }) => entries.get(`${domain} ${key}`) ?? [],
    storage: async () => ({ used: 1, max: 10, blocks: 1, placed: 0, held: 0, entries: 1, entryBytes: 1, sent: 0, received: 0 }),
    whoHas: async () => ['ada'],
    delete: async () => '9@me',
    async put(key: string, value: unknown, options: PutOptions & { domain: string }) {
      puts.push([key, value, options])
      write(version(key, { domain: options.domain, value }))
      return { cid: `cid of ${value}`, placed: ['bob'], holders: [] }
    },
  }
  const mesh = { peerId: 'me', on: (type: string, listener: (event: object) => void) => listeners.set(type, listener), knowledge }
  let told = () => {}
  const under = new Knowledge(mesh as unknown as Mesh, true, line => {
    if (line !== undefined) news.push(line)
    told()
  })
  t.after(() => under.close())
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>(resolve => (told = resolve))
  }
  return { knowledge: under, mesh, write, puts, news, calls, until, emit: (type: string, event: object) => listeners.get(type)!(event) }
}
