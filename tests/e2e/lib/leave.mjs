// A program that joins a mesh, uses it, leaves it, and has nothing else to do: it must end by itself.
//   node leave.mjs HOW MESH RELAY

import { P2PNeuralMeshService, joinMesh } from 'neural-mesh'
import { PeerConnection as NativePeer } from 'node-datachannel'

const [, , how, name, relays] = process.argv

const ways = {
  async mesh() {
    const mesh = await joinMesh(name, { relays, agent: { id: 'ada' } })
    await use(mesh)
    await mesh.close()
  },
  async service() {
    const service = new P2PNeuralMeshService({ mesh: name, relays, agent: { id: 'ada' } })
    await service.initialize()
    await use(service.mesh)
    await service.shutdown()
  },
  async dispose() {
    const mesh = await joinMesh(name, { relays, agent: { id: 'ada' } })
    await use(mesh)
    await mesh[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]()
  },
  // Its calls are still waiting when it is closed.
  async busy() {
    const mesh = await joinMesh(name, { relays, agent: { id: 'ada' } })
    const codeOf = promise => promise.then(() => 'none', ({ code }) => code)
    const calls = [mesh.send('nobody', 'hello', { timeoutMs: 60_000 }), mesh.agents.find({}, { timeoutMs: 60_000 })]
    const codes = Promise.all(calls.map(codeOf))
    await mesh.close()
    console.log((await codes).join(' '))
  },
  // It listens, and answers on the local network.
  async mdns() {
    const mesh = await joinMesh(name, { relays, agent: { id: 'ada' }, listen: '/ip4/0.0.0.0/tcp/0/ws', mdns: true })
    await mesh.close()
  },
  // Two that are connected directly.
  async direct() {
    const [ada, bob] = await Promise.all(['ada', 'bob'].map(id => joinMesh(name, { relays, agent: { id } })))
    while (!(await ada.health.topology()).links.some(link => link.peerId === bob.peerId && !link.relayed)) {
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    bob.on('message', () => {})
    await ada.send('bob', 'hello')
    await Promise.all([ada.close(), bob.close()])
  },
  // Its connections, and the channels on them, are closed from both ends at once.
  async channels() {
    await (await joinMesh(name, { relays, agent: { id: 'ada' } })).close()
    let left = 100
    const lane = async () => {
      while (left-- > 0) await closedFromBothEnds(globalThis[Symbol.for('neural-mesh.RTCPeerConnection')], left % 2 === 0)
    }
    await Promise.all(Array.from({ length: 8 }, lane))
  },
  // A channel that the other end opens and closes again before this process is told of it.
  async overtaken() {
    await (await joinMesh(name, { relays, agent: { id: 'ada' } })).close()
    console.log((await overtaken(globalThis[Symbol.for('neural-mesh.RTCPeerConnection')])).join(' '))
  },
  async unreachable() {
    const error = await joinMesh(name, { relays, timeoutMs: 500 }).catch(error => error)
    console.log(error.code)
  },
}

async function use(mesh) {
  mesh.on('message', () => {})
  mesh.weights.onWeights(() => {})
  mesh.messages.inbox().next()
  await mesh.broadcast('hello')
  await mesh.send('ada', 'hello')
}

async function closedFromBothEnds(PeerConnection, atOnce) {
  const [ours, theirs] = [new PeerConnection(), new PeerConnection()]
  const channels = Array.from({ length: 8 }, (_, i) => ours.createDataChannel(`${i}`))
  const opened = channels.map(channel => new Promise(resolve => channel.addEventListener('open', resolve)))
  // One that does not come up is closed with its channels not open.
  const over = new Promise(resolve => ours.addEventListener('connectionstatechange', () => ours.connectionState === 'closed' && resolve()))
  theirs.addEventListener('datachannel', ({ channel }) => channels.push(channel))
  const offer = await ours.createOffer()
  await ours.setLocalDescription(offer)
  await theirs.setRemoteDescription(offer)
  await ours.setRemoteDescription(await theirs.createAnswer())
  for (const [from, to] of [[ours, theirs], [theirs, ours]]) {
    for (const candidate of from.ext_localCandidates) await to.addIceCandidate(candidate)
    from.addEventListener('icecandidate', ({ candidate }) => candidate && to.addIceCandidate(candidate).catch(() => {}))
  }
  await Promise.race([over, Promise.all(opened)])
  for (const channel of channels) channel.close()
  ours.close()
  if (!atOnce) await new Promise(resolve => setImmediate(resolve))
  theirs.close()
}

// The labels of the channels that `PeerConnection` told of. The other end is node-datachannel itself, whose calls do at once
// what they say.
async function overtaken(PeerConnection) {
  const [ours, theirs] = [new PeerConnection(), new NativePeer('theirs', { iceServers: [] })]
  // Without these its own native halves would stay.
  theirs.onStateChange(() => {})
  const open = label => {
    const channel = theirs.createDataChannel(label)
    channel.onClosed(() => {})
    return channel
  }
  const told = []
  const third = new Promise(resolve => {
    ours.addEventListener('datachannel', ({ channel: { label } }) => {
      told.push(label)
      if (label === 'third') resolve()
    })
  })
  theirs.onLocalCandidate((candidate, sdpMid) => ours.addIceCandidate({ candidate, sdpMid }).catch(() => {}))
  ours.addEventListener('icecandidate', ({ candidate }) => candidate && theirs.addRemoteCandidate(candidate.candidate, candidate.sdpMid))
  const described = new Promise(resolve => theirs.onLocalDescription((sdp, type) => resolve({ sdp, type })))
  const first = open('first')
  const opened = new Promise(resolve => first.onOpen(resolve))
  await ours.setRemoteDescription(await described)
  const answer = await ours.createAnswer()
  await ours.setLocalDescription(answer)
  theirs.setRemoteDescription(answer.sdp, answer.type)
  await opened
  // The loop stands still while the second comes and goes. It is open when the other end knows of it, and when the third is,
  // the other end knows that the second is closed.
  const standStillUntilOpen = channel => {
    while (!channel.isOpen()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  }
  const second = open('second')
  standStillUntilOpen(second)
  second.close()
  standStillUntilOpen(open('third'))
  await third
  ours.close()
  theirs.close()
  return told
}

await ways[how]()
console.log('left')
