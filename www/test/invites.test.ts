import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError, type InviteOptions, type Mesh } from 'neural-mesh'
import { openLink } from '../src/invitations.js'
import { Invites, MAX_ARRIVALS } from '../src/invites.js'
import { qrCode } from '../src/qr.js'

const DAY = 24 * 3600_000

test('an invite is known to be used when it alone can have been', async () => {
  const { invites, news, use } = setUp()
  await invites.make('https://lab.example/', 'member', DAY)
  const first = invites.current!
  assert.equal(first.link, 'https://lab.example/#i=1')
  assert.ok(Math.abs(first.until - Date.now() - DAY) < 5000)
  use('bob')
  assert.equal(invites.current?.used?.peerId, 'bob')
  assert.deepEqual(news, ['bob! has come in by an invite of yours'])

  await invites.make('https://lab.example/', 'member', DAY)
  await invites.make('https://lab.example/', 'observer', DAY)
  use('eve')
  assert.equal(invites.current?.used, undefined, 'it may have been the one before')
  assert.deepEqual([...invites.arrivals].map(({ peerId }) => peerId), ['bob', 'eve'])
  for (let i = 0; i < 10; i++) use(`node ${i}`)
  assert.equal(invites.arrivals.length, MAX_ARRIVALS)
})

test('an invite that was put away is not the next one', async () => {
  const { invites, use } = setUp()
  await invites.make('https://lab.example/', 'member', DAY)
  invites.next()
  use('bob')
  assert.equal(invites.current, undefined)
  await invites.make('https://lab.example/', 'member', DAY)
  use('eve')
  assert.equal(invites.current!.used!.peerId, 'eve')
})

test('none is made when the mesh does not allow it', async () => {
  const { invites } = setUp(() => Promise.reject(new MeshError('over-quota', 'all 3 invites of today are issued')))
  await assert.rejects(invites.make('https://lab.example/', 'member', DAY), { code: 'over-quota' })
  assert.deepEqual([invites.making, invites.current], [false, undefined])
})

test('a QR code is drawn within its quiet zone, with its three corners', () => {
  const { size, path } = qrCode(`https://lab.example/#i=${'Ab-_'.repeat(150)}`)!
  assert.equal((size - 8 - 17) % 4, 0, 'of some version')
  assert.match(path, /^(M\d+ \d+h\d+v1h-\d+z)+$/)
  const rows = [...path.matchAll(/M(\d+) (\d+)h(\d+)/g)].map(([, x, y, width]) => ({ x: Number(x), y: Number(y), width: Number(width) }))
  assert.ok(rows.every(({ x, y, width }) => x >= 4 && y >= 4 && x + width <= size - 4 && y < size - 4))
  for (const [x, y] of [[4, 4], [size - 11, 4], [4, size - 11]]) {
    assert.ok(rows.some(row => row.x === x && row.y === y && row.width === 7), `a corner at ${x}, ${y}`)
  }
  assert.equal(qrCode('_'.repeat(2953))?.size, 177 + 8)
  assert.equal(qrCode('_'.repeat(2954)), undefined)
})

test('a link with a part that is no invite is none', async () => {
  for (const invite of ['#i=A', '#i=AAAA', `#i=${'A'.repeat(30_000)}`]) {
    const opened = await openLink({ invite })
    assert.ok(opened && 'error' in opened)
    assert.match(opened.error, /^the link has a part that is no invite \(/)
    assert.ok(opened.error.length < 300)
  }
})

// Invites of a mesh that is played: `use` is what happens when somebody comes in.
function setUp(createInvite?: (options: InviteOptions) => Promise<string>) {
  let made = 0
  let use = (_: string) => {}
  const mesh = {
    on: (_: string, listener: (event: { peerId: string }) => void) => void (use = peerId => listener({ peerId })),
    createInvite: createInvite ?? (async ({ link }: InviteOptions) => `${link}#i=${++made}`),
  }
  const news: (string | undefined)[] = []
  const invites = new Invites(mesh as unknown as Mesh, text => news.push(text), peerId => `${peerId}!`)
  return { invites, news, use }
}
