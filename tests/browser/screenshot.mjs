// `npm run screenshots`: the pictures of the page in docs/: a relay, three agents in Node.js and three pages, some talk, some
// knowledge.
// They look best where the font Inter is installed (Debian: fonts-inter); any other will do.

import { fileURLToPath } from 'node:url'
import { knows } from '../e2e/lib/mesh.mjs'
import { at } from '../../scripts/lib/paths.mjs'
import { startWorld } from './lib/world.mjs'

const VIEWPORT = { width: 1280, height: 800 }

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const ends = []
  try {
    await shoot(await startWorld({ after: end => ends.push(end) }, { mesh: 'lab' }))
  } finally {
    for (const end of ends) await end()
  }
  process.exit()
}

async function shoot(world) {
  const nodes = await Promise.all([
    world.nodeAgent([{ id: 'nora', type: 'researcher', capabilities: ['digits', 'vision'] }]),
    world.nodeAgent([{ id: 'otto', type: 'coder', capabilities: ['rust', 'wasm'] }]),
    world.nodeAgent([{ id: 'tess', type: 'tester', capabilities: ['fuzzing'] }, { id: 'rita', capabilities: ['review'] }]),
  ])
  const [nora, otto, tess] = nodes
  const grace = await world.joinedPage('grace', { capabilities: 'compilers, vision' })
  const bob = await world.joinedPage('bob', { capabilities: 'translation' })
  const ada = await world.joinedPage('ada', { capabilities: 'digits, planning', viewport: VIEWPORT, colorScheme: 'light', locale: 'en-GB' })
  const everybody = [...nodes, grace, bob, ada].map(({ id }) => id)
  await Promise.all([
    ...nodes.map(node => knows(node, everybody)),
    ...[grace, bob, ada].map(page => page.sees(...everybody.filter(id => id !== page.id))),
  ])

  await nora.run(({ mesh }) => mesh.broadcast('Epoch 3 is done: 95.5 % are right.', { topic: 'training' }))
  await ada.broadcasts.getByText('Epoch 3').waitFor()
  await ada.broadcast('Well done! Who can try that in a browser?')
  await grace.broadcast('I can. Send me the weights.')
  await ada.broadcasts.getByText('I can.').waitFor()

  await ada.send(nora.id, 'May I have your weights?')
  await bob.send(ada.id, 'Guten Morgen! Anything to translate?')
  await ada.send(otto.id, 'How large is the core now?')
  await ada.send(grace.id, 'Good morning! Here are the weights of epoch 3.')
  await ada.drop(ada.conversation, { name: 'digits-epoch-3.safetensors', size: 203_952 })
  await ada.messages.locator('.file', { hasText: 'delivered' }).waitFor()
  await grace.send(ada.id, 'They read 95.5 % here too. I have pruned them a little, try these:')
  await grace.drop(grace.conversation, { name: 'digits-pruned.safetensors', size: 118_304 })
  await ada.messages.getByRole('link', { name: 'Download' }).waitFor()
  await ada.send(grace.id, 'A third smaller, and as good. Thank you!')
  await know(nodes, ada)
  await Promise.all([grace, bob, ...nodes].map(({ peerId }) => ada.reaches(peerId, true, { timeout: 3000 }).catch(() => {})))
  await settled(ada)
  for (const theme of ['light', 'dark']) {
    if (theme === 'dark') await ada.tab.getByRole('button', { name: 'Dark colours' }).click()
    await ada.tab.mouse.move(0, 799)
    await ada.tab.evaluate(() => document.activeElement.blur())
    await ada.tab.evaluate(() => scrollTo(0, 0))
    await ada.tab.screenshot({ path: at(`docs/page-${theme}.png`), animations: 'disabled' })
    await ada.knowledge.screenshot({ path: at(`docs/knowledge-${theme}.png`), animations: 'disabled' })
  }
}

// Something is known, and an entry of it is open whose copies are all there.
async function know([nora, otto, tess], ada) {
  await tess.run(({ mesh }) => mesh.knowledge.put('seeds', 'fuzz: 1, 7, 42', { domain: mesh.knowledge.ownDomain('plans') }))
  await otto.run(({ mesh }) => mesh.knowledge.put('core/size', { wasm: 3_918_813, brotli: 1_083_800 }))
  await otto.run(({ mesh }) => mesh.knowledge.put('readme', 'What we know of handwritten digits.', { domain: 'results' }))
  await nora.run(async ({ mesh }) => {
    await mesh.knowledge.put('digits/weights', new Uint8Array(203_952).fill(7), { type: 'application/octet-stream', metadata: { name: 'digits-epoch-3.safetensors' } })
    await mesh.knowledge.put('digits/means', new Float32Array(784).fill(0.13))
    const result = { model: 'mlp', epochs: 3, accuracy: 0.955, pruned: false }
    await mesh.knowledge.put('digits/accuracy', result, { metadata: { heldOut: 10_000 } })
  })
  await ada.put('digits/next', { text: 'Prune them, then try them in a browser.' })
  await ada.key('digits/next').getByText('3 of 3').waitFor()
  await ada.openKey('digits/accuracy')
  for (const key of ['digits/accuracy', 'digits/weights', 'digits/means', 'core/size']) await ada.key(key).getByText('3 of 3').waitFor()
}

// Resolves when nothing is being made any more that the picture would show a moment later.
async function settled({ tab }) {
  await tab.waitForFunction(() => ![...document.querySelectorAll('.node title')].some(title => title.textContent.includes('is being made')))
  await tab.waitForFunction(() => document.getAnimations().every(animation => animation.playState === 'finished'))
}
