import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FileInfo, MeshNode, NamedFile } from '../src/generated/mesh_wasm.js'
import { fakeMesh } from './fake-node.js'
import { deferred, peerId, rejectsCode } from './tools.js'

const hello = new TextEncoder().encode('hello')
const file = (cid: string): FileInfo => ({ cid, size: 5, dagSize: 6 })

// A node that pins what it is given, under names that tell what it is made of.
function holder(methods: Partial<Record<keyof MeshNode, unknown>> = {}) {
  const pins = new Set<string>()
  const pinned = (cid: string) => (pins.add(cid), file(cid))
  const given = fakeMesh({
    addFile: async (bytes: Uint8Array) => pinned(new TextDecoder().decode(bytes)),
    addDirectory: async (files: NamedFile[]) => pinned(`[${files.map(({ name, file }) => `${name}:${file.cid}`).join(' ')}]`),
    pinContent: async (cid: string) => void pins.add(cid),
    unpinContent: async (cid: string) => void pins.delete(cid),
    pinnedContent: async () => [...pins],
    whoHas: async (cid: string) => [peerId, cid],
    listContent: async (cid: string) => [{ name: 'a', cid, dagSize: 1 }],
    content: async () => hello,
    knowledge: async (domain: string, key: string) => {
      if (key === 'none') return []
      const fields = { domain, key, id: '', version: '1@ada', author: 'ada', writtenAt: 1, type: 'text', writers: [], replaces: [] }
      return [{ ...fields, ...(key === 'gone' ? { change: 'delete', size: 0, replicas: 0 } : { change: 'put', cid: `cid of ${domain}/${key}`, size: 5, replicas: 3 }) }]
    },
    storage: async () => ({ used: 1, max: 2, blocks: 3, placed: 4, held: 5, entries: 6, entryBytes: 7, sent: 8, received: 9 }),
    ...methods,
  })
  return { ...given, knowledge: given.mesh.knowledge, pins }
}

test('a file: of bytes, a buffer or a blob', async () => {
  const { knowledge } = holder()
  for (const bytes of [hello, hello.buffer as ArrayBuffer, new Blob([hello]), Buffer.from('hello')]) assert.deepEqual(await knowledge.addFile(bytes), file('hello'))
  for (const wrong of ['hello', undefined, null, [1], {}, new Float32Array(1)]) {
    await rejectsCode('invalid-argument', /a file must be a Uint8Array/, knowledge.addFile(wrong as never))
  }
})

test('a directory: of files, what they are made of, and directories; pinned as a whole, and what was pinned before stays', async () => {
  const { knowledge, pins } = holder()
  await knowledge.addFile(new Blob(['kept']))
  const made = await knowledge.addDirectory({ a: file('given'), b: hello, sub: { c: new Blob(['kept']), deep: { d: hello } }, empty: {} })
  assert.equal(made.cid, '[a:given b:hello sub:[c:kept deep:[d:hello]] empty:[]]')
  assert.deepEqual([...pins], ['kept', made.cid])
})

test('a directory: what is refused before anything is added, and nothing is left of one that fails', async () => {
  const { knowledge, pins } = holder()
  for (const wrong of [null, undefined, [], hello, 'a']) await rejectsCode('invalid-argument', /the directory must be an object/, knowledge.addDirectory(wrong as never))
  await rejectsCode('invalid-argument', /the directory\/a\/b must be a Uint8Array/, knowledge.addDirectory({ x: hello, a: { b: 'text' as never } }))
  const nest = (levels: number): object => (levels === 1 ? { x: hello } : { d: nest(levels - 1) })
  await knowledge.addDirectory(nest(32) as never)
  pins.clear()
  await rejectsCode('invalid-argument', /more than 32 directories deep/, knowledge.addDirectory(nest(33) as never))
  const circle: Record<string, unknown> = {}
  circle['itself'] = circle
  await rejectsCode('invalid-argument', /more than 32 directories deep/, knowledge.addDirectory(circle as never))
  const full = { addDirectory: () => Promise.reject({ code: 'storage-full', message: 'no room' }) }
  const failing = holder(full)
  await rejectsCode('storage-full', /no room/, failing.knowledge.addDirectory({ a: hello }))
  assert.deepEqual([[...pins], [...failing.pins]], [[], []])
})

test('pin, unpin, pins and whoHas: by CID, or by what a key stands for', async () => {
  const { knowledge } = holder()
  assert.equal(await knowledge.pin('bafk'), 'bafk')
  assert.equal(await knowledge.pin({ key: 'k' }), 'cid of shared/k')
  assert.equal(await knowledge.pin({ key: 'k', domain: 'd' }), 'cid of d/k')
  assert.deepEqual(await knowledge.pins(), ['bafk', 'cid of shared/k', 'cid of d/k'])
  await knowledge.unpin({ key: 'k' })
  await knowledge.unpin('bafk')
  assert.deepEqual(await knowledge.pins(), ['cid of d/k'])
  assert.deepEqual(await knowledge.whoHas({ key: 'k' }), [peerId, 'cid of shared/k'])
  for (const key of ['none', 'gone']) {
    const calls = [knowledge.pin({ key }), knowledge.unpin({ key }), knowledge.whoHas({ key })]
    for (const call of calls) await rejectsCode('not-found', /there is nothing under/, call)
  }
  for (const wrong of [undefined, null, 1]) await rejectsCode('invalid-argument', /a CID is a text/, knowledge.pin(wrong as never))
  for (const wrong of [{}, { key: '' }, { key: 'k', domain: '' }]) await rejectsCode('invalid-argument', /must/, knowledge.whoHas(wrong as never))
})

test('pin: what the core gets, and progress', async () => {
  const told: unknown[] = []
  const { knowledge } = holder({
    pinContent: async (_: string, options: object, progress: (bytes: number) => void) => {
      told.push(options)
      progress(3)
    },
  })
  await knowledge.pin('bafk', { maxBytes: 9, timeoutMs: 8, onProgress: progress => told.push(progress) })
  assert.deepEqual(told, [{ maxBytes: 9, timeoutMs: 8 }, { bytes: 3 }])
})

test('reading: 64 MiB unless the caller says otherwise; lists; errors of the core', async () => {
  const got: unknown[] = []
  const { knowledge } = holder({ content: async (_: string, options: object) => (got.push(options), hello) })
  assert.equal(await knowledge.readFile('bafk'), hello)
  await knowledge.readFile('bafk', { maxBytes: 2 ** 31, timeoutMs: 5 })
  assert.deepEqual(got, [{ maxBytes: 64 * 1024 * 1024 }, { maxBytes: 2 ** 31, timeoutMs: 5 }])
  assert.deepEqual(await knowledge.list('bafy'), [{ name: 'a', cid: 'bafy', dagSize: 1 }])
  const nowhere = holder({ content: () => Promise.reject({ code: 'not-found', message: 'nowhere' }) }).knowledge
  await rejectsCode('not-found', /nowhere/, nowhere.readFile('bafk'))
  for (const wrong of [undefined, 1]) {
    for (const call of [knowledge.readFile(wrong as never), knowledge.list(wrong as never)]) await rejectsCode('invalid-argument', /a CID is a text/, call)
  }
})

test('what does not come at once is asked for by CID, once', async () => {
  const asked: string[] = []
  const found = deferred<Uint8Array>()
  const { knowledge } = holder({ content: () => found.promise, whoHas: async (cid: string) => (asked.push(cid), found.resolve(hello), []) })
  assert.equal(await knowledge.readFile('bafk'), hello)
  assert.equal(await knowledge.readFile('bafl'), hello)
  assert.deepEqual(asked, ['bafk'])
  const aborted = AbortSignal.timeout(1)
  const silent = holder({ listContent: () => new Promise(() => {}) })
  await rejectsCode('aborted', /./, silent.knowledge.list('bafk', { signal: aborted }))
})

test('storage: what is here, and nothing of a browser where there is none', async () => {
  const { knowledge, mesh } = holder()
  assert.deepEqual(await knowledge.storage(), { used: 1, max: 2, blocks: 3, placed: 4, held: 5, entries: 6, entryBytes: 7, sent: 8, received: 9 })
  await mesh.close()
  await rejectsCode('closed', /closed/, knowledge.storage())
})
