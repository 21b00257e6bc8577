// What a mesh with a charter decides, as the page shows it: three tabs and two agents in Node.js vote.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { relayBinary } from '../../scripts/lib/relay.mjs'
import { createCharter } from 'neural-mesh'
import { knows, startMesh } from '../e2e/lib/mesh.mjs'
import { elect, propose } from './lib/council.mjs'
import { startWorld, until } from './lib/world.mjs'

const LIMIT = { timeout: 120_000 }
const TITLE = 'Shall we <b>buy</b> a GPU?'
const run = promisify(execFile)

test('tabs vote on what an agent proposes, through a closed tab and a reload, and can prove what was decided', LIMIT, async t => {
  const { world, nora, otto, open, pages: [ada, bob, eve] } = await council(t)
  await elect(nora, [nora, otto, ada, bob, eve])
  for (const page of [ada, bob, eve]) await page.decisions.getByText('5 voters, you are one of them').waitFor()

  const id = await propose(otto, TITLE)
  await nora.run(async ({ mesh }) => {
    for await (const { id } of mesh.consensus.proposals()) return mesh.consensus.vote(id, 'reject', { reason: 'too dear' })
  })
  await ada.proposal(TITLE).getByText('too dear').waitFor()
  await ada.vote(TITLE, 'Approve')
  await bob.proposal(TITLE).getByText('2 for, 1 against, 0 abstained of 5').waitFor()

  await Promise.all([bob.tab.waitForEvent('close'), bob.close()])
  const bobAgain = await open('bob')
  assert.equal(bobAgain.peerId, bob.peerId, 'the same voter')
  await ada.tab.reload()
  await ada.proposal(TITLE).getByText('You have said: for').waitFor()
  assert.equal(await ada.proposal(TITLE).getByRole('button').count(), 0, 'no second vote')

  // Who comes back hears of what is open without anybody's saying a word.
  await bobAgain.vote(TITLE, 'Approve')
  await eve.vote(TITLE, 'Approve', 'we need one')
  const result = await otto.run(({ state }) => state.result)
  assert.deepEqual([result.outcome, result.votes.reject], ['approved', 1])
  assert.equal(await nora.run(({ mesh }, id) => mesh.consensus.result(id).then(({ outcome }) => outcome), id), 'approved')
  for (const page of [ada, bobAgain, eve]) {
    await page.proposal(TITLE).getByText('approved', { exact: true }).waitFor()
    await page.proposal(TITLE).getByText(/4 for, 1 against, 0 abstained/).waitFor()
  }

  const [file, bytes] = await certificate(world, eve)
  const { stdout } = await run(relayBinary(), ['verify', file, '--mesh-id', nora.meshId])
  assert.match(stdout, /approved/)
  await eve.proposal(TITLE).getByRole('button', { name: 'Check', exact: true }).click()
  await eve.proposal(TITLE).getByText(/^Holds: [45] of 5 voters have signed .* It is of this mesh\.$/).waitFor()
  await check(ada, file, /Holds: [45] of 5 voters have signed that “Shall we <b>buy<\/b> a GPU\?” is approved/)

  bytes[bytes.length >> 1] ^= 1
  await writeFile(file, bytes)
  await assert.rejects(run(relayBinary(), ['verify', file, '--mesh-id', nora.meshId]), { code: 1 })
  await check(ada, file, /Does not hold|This is no certificate/)
  await writeFile(file, 'not a certificate')
  await check(ada, file, /This is no certificate/)
})

test('the founder makes voters of everybody by a button, and too few voters are told', LIMIT, async t => {
  // An identity belongs to the name of a mesh: the one that this browser has in an open mesh founds another of that name.
  const world = await startWorld(t, { mesh: 'council' })
  const within = await world.browser.newContext({ locale: 'en-GB' })
  const stranger = await world.page({ within, fragment: world.invitation })
  await stranger.join({ name: 'ada' })
  assert.equal(await stranger.decisions.count(), 0, 'nothing is decided in an open mesh')
  await Promise.all([stranger.tab.waitForEvent('close'), stranger.close()])
  const charter = await createCharter({ name: 'council', founders: stranger.peerId })
  const council = await startMesh(t, { mesh: 'council', charter })
  const fragment = `#m=council&r=${council.relay.address}&c=${Buffer.from(charter).toString('base64url')}`
  const ada = await world.page({ within, fragment })
  await ada.join({ name: 'ada' })
  assert.equal(ada.peerId, stranger.peerId)
  await ada.decisions.getByText('Nobody votes yet').waitFor()
  const [nora, otto] = [await council.agent('nora'), await council.agent('otto')]
  await ada.sees(nora.id, otto.id)

  const button = ada.decisions.getByRole('button', { name: 'Let everybody here vote' })
  const all = ada.decisions.getByText('3 voters, you are one of them')
  await until(() => button.click().then(() => all.waitFor({ timeout: 1000 })).then(() => true, () => false), { what: 'keys have come' })
  for (const agent of [nora, otto]) await agent.run(({ mesh }) => mesh.consensus.setPolicy(({ kind }) => (kind === 'question' ? 'approve' : undefined)))
  await ada.decisions.getByRole('textbox', { name: 'Propose a question' }).fill('Lunch?')
  await ada.decisions.getByRole('button', { name: 'Propose', exact: true }).click()
  await ada.proposal('Lunch?').getByText('approved', { exact: true }).waitFor()
  await ada.proposal('Lunch?').getByText('3 for, 0 against').waitFor()

  await nora.kill()
  await propose(otto, 'Dinner?', 1000)
  await ada.proposal('Dinner?').getByText('Too few voters can be reached; it stays open').waitFor()
})

// A mesh with a charter: its founder nora and otto in Node.js, and three tabs of one browser, of which the first is joined by
// what the relay tells, the others by the link that it then has. `open` makes a tab more.
async function council(t) {
  const world = await startWorld(t, { charter: true, ui: true })
  const nora = await world.nodeAgent('nora')
  const otto = await world.nodeAgent('otto')
  const within = await world.browser.newContext({ locale: 'en-GB' })
  const open = async (name, fragment = world.invitation) => {
    const page = await world.page({ within, fragment })
    await page.tab.getByText('It has a charter').waitFor()
    await page.join({ name })
    return page
  }
  world.server.relayJson = await (await fetch(`${world.relay.ui}/relay.json`)).json()
  const ada = await open('ada', '')
  assert.equal(new URL(ada.tab.url()).hash, world.invitation, 'a link carries the charter')
  const pages = [ada, await open('bob'), await open('eve')]
  const ids = [nora, otto, ...pages].map(({ id }) => id)
  await Promise.all([knows(nora, ids), knows(otto, ids), ...pages.map(page => page.sees(...ids.filter(id => id !== page.id)))])
  return { world, nora, otto, open, pages }
}

// Downloads the certificate by its button: [path, bytes].
async function certificate({ e2e }, page) {
  const proposal = page.proposal(TITLE)
  const id = await proposal.getAttribute('data-proposal')
  const button = proposal.getByRole('button', { name: 'Download certificate' })
  const [download] = await Promise.all([page.tab.waitForEvent('download'), button.click()])
  assert.equal(download.suggestedFilename(), `decision-${id.slice(0, 8)}.cbor`)
  const file = join(e2e.dir, download.suggestedFilename())
  await download.saveAs(file)
  return [file, await readFile(file)]
}

async function check({ decisions }, file, says) {
  await decisions.getByLabel('Check a certificate').setInputFiles(file)
  await decisions.locator('.check').getByText(says).waitFor()
}
