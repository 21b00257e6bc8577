import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeValue } from '../src/codec.js'
import type { MeshError } from '../src/errors.js'
import type { MeshEvent } from '../src/events.js'
import type { EntryInfo, MeshNode } from '../src/generated/mesh_wasm.js'
import { DistributedKnowledgeStore } from '../src/knowledge-store.js'
import type { KnowledgeChange, KnowledgeInfo } from '../src/knowledge-entry.js'
import { P2PNeuralMeshService } from '../src/service.js'
import { fakeMesh } from './fake-node.js'
import { deferred, peerId, rejectsCode, throwsCode, turn } from './tools.js'

const other = '12D3KooWHdWFyPDxR3CUcBWyrTDYbYBdS4VpVh5VvYTw5RZz2bZk'
const text = (value: string) => new TextEncoder().encode(value)
const forever = () => new Promise<never>(() => {})

function entry(key: string, fields: Partial<EntryInfo> = {}): EntryInfo {
  const content = { cid: 'bafk', size: 5, replicas: 3, type: 'text' }
  return { domain: 'shared', key, id: 'ab', version: '1@ada', author: 'ada', writtenAt: 7, change: 'put', ...content, writers: [], replaces: [], ...fields }
}

const gone = (key: string, fields: Partial<EntryInfo> = {}) => {
  const { cid: _, ...rest } = entry(key, { change: 'delete', size: 0, replicas: 0, type: '', ...fields })
  return rest
}

// What users see of it.
const info = ({ id: _, replaces: __, writers, ...rest }: EntryInfo) => ({ ...rest, ...(rest.change === 'grant' && { writers }) })

type Call = [method: string, ...args: unknown[]]

// A node whose methods write down how they were called, without their signals.
function keeper(methods: Partial<Record<keyof MeshNode, (...args: never[]) => unknown>> = {}) {
  const calls: Call[] = []
  const defaults: Record<string, (...args: never[]) => unknown> = {
    putKnowledge: () => ({ cid: 'bafk', version: '1@me', placed: [other], holders: [peerId] }),
    deleteKnowledge: () => '2@me',
    grantKnowledge: () => '3@me',
    knowledge: () => [],
    content: () => text('hello'),
    topology: () => ({ links: [{ peerId: other, relay: false }, { peerId, relay: true }] }),
    compareKnowledge: (peer: string, domain: string) => ({ peerId: peer, domain, received: 1, sent: 2, whole: true }),
    ...methods,
  }
  const recorded = Object.entries(defaults).map(([name, method]) => [
    name,
    async (...args: never[]) => {
      calls.push([name, ...args.filter(arg => !(Object(arg) instanceof AbortSignal) && typeof arg !== 'function' && arg !== undefined)])
      return method(...args)
    },
  ])
  const given = fakeMesh(Object.fromEntries(recorded))
  const named = (name: string) => calls.filter(([method]) => method === name).map(([, ...args]) => args)
  return { ...given, knowledge: given.mesh.knowledge, calls, named }
}

test('put: what the core gets, with its defaults, and what comes of it', async () => {
  const { knowledge, named } = keeper()
  assert.deepEqual(await knowledge.put('k', 'hello'), {
    ...{ cid: 'bafk', version: '1@me', placed: [other], holders: [peerId] },
    ...{ domain: 'shared', key: 'k' },
  })
  const expiresAt = Date.now() + 5000
  const options = { domain: `d@${peerId}`, metadata: { a: 1 }, replicas: 8, expiresAt, type: 'image/png', waitMs: 0 }
  await knowledge.put('k', new Uint8Array([1]), options)
  await knowledge.put('k', null, { expiresAt: new Date(expiresAt), replicas: 1 })
  assert.deepEqual(named('putKnowledge'), [
    ['shared', 'k', text('hello'), { type: 'text', replicas: 3 }],
    [`d@${peerId}`, 'k', new Uint8Array([1]), { type: 'image/png', replicas: 8, metadata: encodeValue('', { a: 1 }, 9), expiresAt, waitMs: 0 }],
    ['shared', 'k', new Uint8Array([0xf6]), { type: 'cbor', replicas: 1, expiresAt }],
  ])
  await knowledge.put('k', 1, { ttlMs: 1000.5 })
  const ends = (named('putKnowledge')[3]![3] as { expiresAt: number }).expiresAt
  assert.ok(Number.isInteger(ends) && Math.abs(ends - Date.now() - 1000) < 500)
})

test('put: what is refused, before the core is asked; at the bounds it is not', async () => {
  const { knowledge, calls } = keeper()
  const refused = (message: RegExp, options: object, ...given: unknown[]) => {
    const [key, value] = given.length > 0 ? given : ['k', 1]
    return rejectsCode('invalid-argument', message, knowledge.put(key as string, value, options))
  }
  for (const replicas of [0, 9, 1.5, '3', null]) await refused(/replicas must be a whole number from 1 to 8/, { replicas })
  for (const waitMs of [-1, NaN, Infinity, '1']) await refused(/waitMs must be/, { waitMs })
  for (const ttlMs of [0, -1, NaN, Infinity, '1', null]) await refused(/ttlMs must be .* in the future/, { ttlMs })
  for (const expiresAt of [0, Date.now() - 1, new Date(NaN), '2030', 2 ** 53]) await refused(/expiresAt must be .* in the future/, { expiresAt })
  await refused(/not both/, { ttlMs: 1, expiresAt: 1e15 })
  for (const key of ['', undefined, 1, 'a\nb']) await refused(/key must/, {}, key, 1)
  await refused(/key has 257 bytes/, {}, 'k'.repeat(257), 1)
  for (const domain of ['', '@', `@${peerId}`, 1, null, 'a\0']) await refused(/domain must/, { domain })
  await refused(/the name of a domain has 65 bytes/, { domain: `${'d'.repeat(65)}@${peerId}` })
  await refused(/the value is undefined/, {}, 'k', undefined)
  await refused(/type is for bytes/, { type: 'image/png' })
  await refused(/metadata is a Date/, { metadata: new Date() })
  await refused(/timeoutMs must be/, { timeoutMs: 0 })
  await rejectsCode('too-large', /metadata has 1025 bytes/, knowledge.put('k', 1, { metadata: 'm'.repeat(1022) }))
  assert.deepEqual(calls, [])
  await knowledge.put('k'.repeat(256), 1, { domain: 'd'.repeat(64), metadata: 'm'.repeat(1021) })
  await knowledge.put('k', 1, { domain: `${'d'.repeat(64)}@${peerId}`, replicas: 8 })
  assert.equal(calls.length, 2)
})

test('get: the value, what is known of it, and siblings whose values are fetched later', async () => {
  const entries = [
    entry('k', { metadata: encodeValue('', { m: 1 }, 9), expiresAt: Date.now() + 60_000 }),
    entry('k', { version: '2@bob', author: 'bob', cid: 'bafl', size: 4, type: 'cbor', metadata: new Uint8Array([0xff]) }),
    gone('k', { version: '3@eve' }),
    entry('k', { version: '4@joe', expiresAt: 1 }),
  ]
  const { knowledge, named } = keeper({
    knowledge: () => entries,
    content: (cid: string) => (cid === 'bafk' ? text('hello') : new Uint8Array([0x82, 1, 2])),
  })
  const got = await knowledge.get<string>('k')
  const { siblings, value, ...rest } = got!
  assert.equal(value, 'hello')
  assert.deepEqual(rest, { ...info(entries[0]!), metadata: { m: 1 } })
  assert.deepEqual(siblings.map(({ version }) => version), ['2@bob'], 'neither what takes it away, nor what is over')
  assert.deepEqual({ ...siblings[0] }, { ...info(entries[1]!), metadata: new Uint8Array([0xff]) })
  assert.deepEqual(named('content'), [['bafk', { maxBytes: 5 }]], 'not more than it should have')
  assert.deepEqual(await siblings[0]!.value({ timeoutMs: 9 }), [1, 2])
  assert.deepEqual(named('content')[1], ['bafl', { maxBytes: 4, timeoutMs: 9 }])
  const all = await knowledge.entries('k')
  assert.deepEqual(all.map(({ version, change }) => [version, change]), [['1@ada', 'put'], ['2@bob', 'put'], ['3@eve', 'delete'], ['4@joe', 'put']])
  await rejectsCode('not-found', /nothing under 'k' in 'shared'/, all[2]!.value())
})

test('get: null for what was taken away, or is over, or nobody knows', async () => {
  const known: Record<string, EntryInfo[]> = { gone: [gone('gone'), entry('gone')], over: [entry('over', { expiresAt: Date.now() - 1 })] }
  const { knowledge } = keeper({ knowledge: (_: string, key: string) => known[key] ?? [] })
  for (const key of ['gone', 'over', 'unknown']) assert.equal(await knowledge.get(key), null)
})

test('get: no more than maxBytes, at the bound and past it; errors of the core and of the value', async () => {
  const { knowledge, calls } = keeper({
    knowledge: (_: string, key: string) => [entry(key, key === 'cbor' ? { type: 'cbor' } : { size: key === 'large' ? 64 * 1024 * 1024 + 1 : 5 })],
    content: (cid: string) => (cid === 'bafk' ? text('hello') : forever()),
  })
  assert.equal((await knowledge.get('k', { maxBytes: 5 }))!.value, 'hello')
  await rejectsCode('too-large', /5 bytes, at most 4 are read/, knowledge.get('k', { maxBytes: 4 }))
  await rejectsCode('too-large', /67108865 bytes, at most 67108864/, knowledge.get('large'))
  await rejectsCode('integrity', /not the cbor/, knowledge.get('cbor'))
  const before = calls.length
  for (const wrong of [-1, 1.5, '1', NaN]) await rejectsCode('invalid-argument', /maxBytes/, knowledge.get('k', { maxBytes: wrong as number }))
  await rejectsCode('invalid-argument', /onProgress must be a function/, knowledge.get('k', { onProgress: 1 as never }))
  await rejectsCode('invalid-argument', /options must be an object/, knowledge.get('k', null as never))
  assert.equal(calls.length, before)
  const lost = keeper({ knowledge: () => [entry('k')], content: () => Promise.reject({ code: 'not-found', message: 'nowhere' }) })
  await rejectsCode('not-found', /nowhere/, lost.knowledge.get('k'))
})

test('get: progress, at most once each, never more than all, and in the end all', async () => {
  const told: unknown[] = []
  const { knowledge, mesh } = keeper({
    knowledge: () => [entry('k')],
    content: (_: string, __: object, progress: (bytes: number) => void) => {
      for (const bytes of [0, 2, 2, 9]) progress(bytes)
      return text('hello')
    },
  })
  await knowledge.get('k', { onProgress: progress => told.push(progress) })
  assert.deepEqual(told, [0, 2, 5].map(bytes => ({ bytes, total: 5 })))
  const ofFile: unknown[] = []
  await knowledge.readFile('bafk', { onProgress: progress => ofFile.push(progress) })
  assert.deepEqual(ofFile, [0, 2, 9].map(bytes => ({ bytes })))
  const errors: unknown[] = []
  mesh.on('error', ({ error }) => errors.push((error as Error).message))
  await knowledge.get('k', { onProgress: () => { throw new Error('its own') } })
  assert.deepEqual([...new Set(errors)], ['its own'])
})

test('get: a key that is replaced while its value is fetched is read again', async () => {
  let entries = [entry('k', { version: '1@ada', cid: 'old' })]
  const asked = deferred()
  const { knowledge, node, named } = keeper({
    knowledge: () => entries,
    content: (cid: string) => {
      if (cid === 'old') return asked.resolve(), forever()
      return text('newer')
    },
  })
  const getting = knowledge.get('k')
  await asked.promise
  // Told late: it is what is being fetched.
  node.push({ type: 'knowledge-changed', entry: entries[0]!, current: true })
  await turn()
  entries = [entry('k', { version: '2@ada', cid: 'new' })]
  node.push({ type: 'knowledge-changed', entry: entries[0]!, current: true })
  assert.equal((await getting)!.value, 'newer')
  assert.deepEqual(named('content').map(([cid]) => cid), ['old', 'new'])
})

test('get: a signal ends it, with its reason', async () => {
  const { knowledge } = keeper({ knowledge: () => [entry('k')], content: forever })
  const controller = new AbortController()
  const getting = knowledge.get('k', { signal: controller.signal })
  await turn()
  controller.abort('enough')
  await assert.rejects(getting, (error: MeshError) => error.code === 'aborted' && error.cause === 'enough')
  await rejectsCode('aborted', /./, knowledge.get('k', { signal: AbortSignal.abort() }))
})

test('get: a domain that nobody was asked for is asked for once, of two peers, relays first', async () => {
  let known: EntryInfo[] = []
  const third = { peerId: 'third', relay: false }
  const { knowledge, named } = keeper({
    knowledge: () => known,
    topology: () => ({ links: [third, { peerId: other, relay: false }, { peerId, relay: true }] }),
    compareKnowledge: (peer: string, domain: string) => {
      known = [entry('k')]
      return { peerId: peer, domain, received: 1, sent: 0, whole: true }
    },
  })
  const both = await Promise.all([knowledge.get('k'), knowledge.get('k')])
  assert.deepEqual(both.map(entry => entry?.value), ['hello', 'hello'])
  assert.deepEqual(named('compareKnowledge'), [[peerId, 'shared'], ['third', 'shared']])
  known = []
  assert.equal(await knowledge.get('k'), null)
  assert.equal(named('compareKnowledge').length, 2)
  await knowledge.get('k', { domain: 'elsewhere' })
  assert.equal(named('compareKnowledge').length, 4)
})

test('get: who cannot answer is passed over, and asked again by the next one if nobody could', async () => {
  const answers: unknown[] = [undefined, Promise.reject({ code: 'aborted', message: '' }), undefined, { whole: true }]
  void (answers[1] as Promise<never>).catch(() => {})
  const { knowledge, named } = keeper({ compareKnowledge: () => answers.shift() })
  for (const count of [2, 4, 4]) {
    assert.equal(await knowledge.get('k'), null)
    assert.equal(named('compareKnowledge').length, count)
  }
})

test('get: others are waited for until timeoutMs; what they told meanwhile, or was compared otherwise, counts', async () => {
  const { knowledge, named, node } = keeper({ compareKnowledge: forever })
  assert.equal(await knowledge.get('k', { timeoutMs: 5 }), null)
  assert.equal(await knowledge.get('k', { timeoutMs: 5 }), null)
  assert.equal(named('compareKnowledge').length, 2, 'those that are under way')
  node.push({ type: 'knowledge-compared', compared: { domain: 'told', peerId: other, received: 1, sent: 0, whole: true } })
  await turn()
  assert.equal(await knowledge.get('k', { domain: 'told' }), null)
  assert.equal(named('compareKnowledge').length, 2)
})

test('get: 1,024 domains are remembered to have been asked for; past it the first is asked for again', async () => {
  const { knowledge, named } = keeper({ topology: () => ({ links: [{ peerId: other, relay: false }] }) })
  for (let n = 0; n < 1024; n++) await knowledge.get('k', { domain: `d${n}` })
  await knowledge.get('k', { domain: 'd0' })
  assert.equal(named('compareKnowledge').length, 1024)
  await knowledge.get('k', { domain: 'one more' })
  await knowledge.get('k', { domain: 'd1' })
  await knowledge.get('k', { domain: 'd0' })
  assert.deepEqual(named('compareKnowledge').slice(1024).map(([, domain]) => domain), ['one more', 'd0'])
})

test('delete, grant, ownDomain and domains', async () => {
  const domain = { domain: 'd', entries: 2, digest: 'ab' }
  const { knowledge, named } = keeper({ knowledgeDomains: () => [domain] })
  assert.equal(await knowledge.delete('k'), '2@me')
  await knowledge.delete('k', { domain: 'd' })
  assert.deepEqual(named('deleteKnowledge'), [['shared', 'k'], ['d', 'k']])
  const own = knowledge.ownDomain('plans')
  assert.equal(own, `plans@${peerId}`)
  for (const wrong of ['', 'a@b', 'd'.repeat(65), 1]) throwsCode('invalid-argument', /domain/, () => knowledge.ownDomain(wrong as string))
  assert.equal(await knowledge.grant(own, [other, `ada@${other}`]), '3@me')
  await knowledge.grant(own, [])
  await knowledge.grant(own, Array.from({ length: 64 }, (_, n) => `p${n}`))
  assert.deepEqual(named('grantKnowledge').slice(0, 2), [[own, [other]], [own, []]])
  await rejectsCode('invalid-argument', /at most 64 others/, knowledge.grant(own, Array.from({ length: 65 }, (_, n) => `p${n}`)))
  await rejectsCode('invalid-argument', /everybody writes in 'plans'.*plans@12D3/, knowledge.grant('plans', []))
  await rejectsCode('not-a-writer', /only the owner/, knowledge.grant(`plans@${other}`, []))
  for (const wrong of [other, undefined, [1], ['']]) await rejectsCode('invalid-argument', /peers/, knowledge.grant(own, wrong as never))
  assert.equal(named('grantKnowledge').length, 3)
  assert.deepEqual(await knowledge.domains(), [domain])
})

test('keys: those with something under them, page by page, at most so many', async () => {
  const names = Array.from({ length: 600 }, (_, n) => `k${String(n).padStart(3, '0')}`)
  const dead = (key: string) => key.endsWith('9')
  const { knowledge, named } = keeper({
    knowledgeKeys: (_: string, prefix: string, after: string | undefined, limit: number) => {
      const page = names.filter(key => key.startsWith(prefix) && (after === undefined || key > after)).slice(0, limit)
      return page.map(key => ({ key, entries: [dead(key) ? gone(key) : entry(key)] }))
    },
  })
  const all: KnowledgeInfo[] = []
  for await (const version of knowledge.keys()) all.push(version)
  assert.deepEqual(all.map(({ key }) => key), names.filter(key => !dead(key)))
  assert.deepEqual(named('knowledgeKeys').map(([domain, , after]) => [domain, after]), [['shared', 256], ['shared', 'k255'], ['shared', 'k511']])
  const some: string[] = []
  for await (const version of knowledge.keys('d', { prefix: 'k1', after: 'k105', limit: 5 })) some.push(`${version.key} ${await version.value()}`)
  assert.deepEqual(some, ['k106 hello', 'k107 hello', 'k108 hello', 'k110 hello', 'k111 hello'])
  for (const wrong of [{ limit: 0 }, { limit: 1.5 }, { prefix: 1 }, { after: 1 }, { signal: {} }]) {
    await rejectsCode('invalid-argument', /./, knowledge.keys('d', wrong as never).next())
  }
  await rejectsCode('aborted', /./, knowledge.keys('d', { signal: AbortSignal.abort() }).next())
})

test('events: what the core tells, with values that can be fetched', async () => {
  const { mesh, node } = keeper()
  const heard: MeshEvent[] = []
  for (const type of ['knowledge-changed', 'knowledge-expired', 'knowledge-compared', 'content-held', 'content-repaired'] as const) {
    mesh.on(type, event => heard.push(event))
  }
  const compared = { domain: 'd', peerId: other, received: 1, sent: 2, whole: false }
  node.push(
    { type: 'knowledge-changed', entry: entry('k'), current: false },
    { type: 'knowledge-expired', domain: 'd', key: 'k' },
    { type: 'knowledge-compared', compared },
    { type: 'content-held', cid: 'bafk', holders: [other] },
    { type: 'content-repaired', cid: 'bafk' },
  )
  await turn()
  const [changed, ...rest] = heard
  assert.ok(changed?.type === 'knowledge-changed' && !changed.current)
  assert.deepEqual({ ...changed.entry }, info(entry('k')))
  assert.equal(await changed.entry.value(), 'hello')
  assert.deepEqual(structuredClone(changed).entry, info(entry('k')), 'it can be sent to a worker')
  assert.deepEqual(rest, [
    { type: 'knowledge-expired', domain: 'd', key: 'k' },
    { type: 'knowledge-compared', ...compared },
    { type: 'content-held', cid: 'bafk', holders: [other] },
    { type: 'content-repaired', cid: 'bafk' },
  ])
})

test('subscribe: changes of one domain, to a listener and as an iteration; grants are none', async () => {
  const { knowledge, node, mesh } = keeper()
  const heard: KnowledgeChange[] = []
  const stop = knowledge.subscribe('d', change => heard.push(change))
  const seen: KnowledgeChange[] = []
  const loop = (async () => {
    for await (const change of knowledge.subscribe('d')) seen.push(change)
  })()
  const events = [
    { type: 'knowledge-changed', entry: entry('a', { domain: 'd' }), current: true },
    { type: 'knowledge-changed', entry: gone('b', { domain: 'd' }), current: false },
    { type: 'knowledge-changed', entry: entry('c', { domain: `d@${peerId}` }), current: true },
    { type: 'knowledge-changed', entry: gone('', { domain: 'd', change: 'grant' }), current: true },
    { type: 'knowledge-expired', domain: 'd', key: 'a' },
    { type: 'knowledge-expired', domain: 'e', key: 'a' },
  ] as const
  node.push(...events)
  await turn()
  const told = [['a', 'put', true], ['b', 'delete', false], ['a', 'expired', true]]
  for (const list of [heard, seen]) assert.deepEqual(list.map(({ key, change, current }) => [key, change, current]), told)
  assert.equal(await seen[0]!.entry!.value(), 'hello')
  assert.ok(!('entry' in seen[2]!))
  stop()
  node.push(events[0])
  await turn()
  assert.deepEqual([heard.length, seen.length], [3, 4])
  throwsCode('invalid-argument', /domain must/, () => knowledge.subscribe('', () => {}))
  throwsCode('invalid-argument', /AbortSignal/, () => knowledge.subscribe('d', { signal: {} as never }))
  await mesh.close()
  await loop
  throwsCode('closed', /closed/, () => knowledge.subscribe('d'))
})

test('subscribe: ends with its signal, takes nothing with it when it is left, and takes no messages', async () => {
  const { knowledge, hub, node } = keeper()
  const controller = new AbortController()
  const next = knowledge.subscribe('d', { signal: controller.signal }).next()
  await knowledge.subscribe('d').return?.()
  assert.equal(hub.streams({ type: 'knowledge-expired', domain: 'd', key: 'k' }).length, 1)
  assert.equal(hub.streams({ type: 'message', id: '', from: '', to: '', payload: 1 }).length, 0)
  controller.abort()
  assert.equal((await next).done, true)
  node.push({ type: 'message', id: 'm', from: 'x', to: '', body: new Uint8Array([1]), receipt: 1 })
  await turn()
  assert.deepEqual(node.receipts, [])
})

test('sync: with all that are connected or some; what fails with one is told beside the others', async () => {
  const { knowledge, named } = keeper()
  const progress: unknown[] = []
  assert.deepEqual(await knowledge.sync('d', undefined, { onProgress: told => progress.push(told) }), {
    ...{ domain: 'd', received: 2, sent: 4, failures: [] },
    peers: [peerId, other].map(peerId => ({ peerId, received: 1, sent: 2, whole: true })),
  })
  assert.deepEqual(progress, [1, 2].map(done => ({ done, total: 2, received: done })))
  const { peers, failures } = await knowledge.sync('d', [`bob@${other}`, other, 'stranger'])
  assert.deepEqual(peers.map(peer => peer.peerId), [other])
  assert.deepEqual(failures, [{ peerId: 'stranger', code: 'peer-unreachable', message: 'there is no connection to stranger' }])
  await knowledge.get('k', { domain: 'd' })
  assert.equal(named('compareKnowledge').length, 3, 'it was compared')
  for (const wrong of [other, [1], ['']]) await rejectsCode('invalid-argument', /peers/, knowledge.sync('d', wrong as never))
  await rejectsCode('invalid-argument', /onProgress/, knowledge.sync('d', [], { onProgress: 1 as never }))
})

test('sync: of four peers at once; too many, and silent ones, are failures', async () => {
  let now = 0
  let most = 0
  const links = Array.from({ length: 9 }, (_, n) => ({ peerId: `p${n}`, relay: false }))
  const { knowledge } = keeper({
    topology: () => ({ links }),
    compareKnowledge: async (peer: string) => {
      most = Math.max(most, ++now)
      await turn()
      now--
      if (peer === 'p1') return undefined
      if (peer === 'p2') return forever()
      if (peer === 'p3') throw { code: 'invalid-argument', message: 'odd' }
      return { peerId: peer, domain: 'd', received: 0, sent: 0, whole: peer !== 'p4' }
    },
  })
  const { peers, failures } = await knowledge.sync('d', undefined, { timeoutMs: 50 })
  assert.equal(most, 4)
  assert.deepEqual(failures.map(({ peerId, code }) => [peerId, code]).sort(), [['p1', 'over-quota'], ['p2', 'timeout'], ['p3', 'invalid-argument']])
  assert.deepEqual(peers.filter(({ whole }) => !whole).map(({ peerId }) => peerId), ['p4'])
  const controller = new AbortController()
  const syncing = knowledge.sync('d', ['p2'], { signal: controller.signal })
  await turn()
  controller.abort()
  await rejectsCode('aborted', /./, syncing)
})

test('the store and the service: the names of the sketch, over the same knowledge', async () => {
  const { mesh, named } = keeper({
    knowledge: () => [entry('k')],
    knowledgeKeys: (_: string, __: string, after?: string) => (after === undefined ? [{ key: 'k', entries: [entry('k')] }] : []),
    knowledgeDomains: () => [{ domain: 'd', entries: 1, digest: 'ab' }],
  })
  const store = new DistributedKnowledgeStore(mesh, { domain: 'd' })
  assert.equal(await store.storeKnowledge('k', 'hello', { m: 1 }, { replicas: 2 }), 'bafk')
  assert.deepEqual(named('putKnowledge')[0], ['d', 'k', text('hello'), { type: 'text', replicas: 2, metadata: encodeValue('', { m: 1 }, 9) }])
  assert.equal((await store.retrieveKnowledge('k'))?.value, 'hello')
  assert.equal((await store.syncKnowledgeDomain('e', [other])).domain, 'e')
  for (const wrong of [undefined, null, {}, 'mesh', { ipfs: {} }]) {
    throwsCode('invalid-argument', /made with a Mesh or a P2PNeuralMeshService/, () => new DistributedKnowledgeStore(wrong as never))
  }
  throwsCode('invalid-argument', /domain must/, () => new DistributedKnowledgeStore(mesh, { domain: '' }))

  const service = new P2PNeuralMeshService({ mesh: 'lab', relays: [] })
  await rejectsCode('closed', /await initialize\(\) first/, new DistributedKnowledgeStore(service).retrieveKnowledge('k'))
  for (const call of ['requestKnowledgeSync', 'storeKnowledge', 'retrieveKnowledge', 'syncKnowledgeDomain'] as const) {
    await rejectsCode('closed', /await initialize\(\) first/, service[call]('d', undefined as never))
  }
  Object.defineProperty(service, 'mesh', { value: mesh })
  assert.equal(new DistributedKnowledgeStore(service).domain, 'shared')
  assert.equal(await new DistributedKnowledgeStore(service).storeKnowledge('k', 1), 'bafk')
})
