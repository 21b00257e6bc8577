import type { MeshEvent as CoreEvent } from './generated/mesh_wasm.js'
import { toPeerAgent } from './agents.js'
import { MAX_BODY, decodeValue } from './codec.js'
import type { Consensus } from './consensus.js'
import type { Core } from './core.js'
import type { EventHub } from './hub.js'
import type { Knowledge } from './knowledge.js'
import type { WeightsDesk } from './weights-desk.js'

/**
 * Pulls events from the core, one after the other, and hands them on, until there are no more. Waits while too many
 * messages are unread: the core then drops what it may drop, and holds senders back. What comes while the mesh closes
 * is left out: a message could not be acknowledged any more.
 *
 * @internal
 */
export async function pump(core: Core, hub: EventHub, desk: WeightsDesk, consensus: Consensus, knowledge: Knowledge): Promise<void> {
  for (;;) {
    const event = await core.nextEvent()
    if (event === undefined) return
    if (core.open) hub.guard(() => handOn(event, core, hub, desk, consensus, knowledge))
    await hub.mailbox.room()
  }
}

function handOn(event: CoreEvent, core: Core, hub: EventHub, desk: WeightsDesk, consensus: Consensus, knowledge: Knowledge): void {
  switch (event.type) {
    case 'message':
      return message(event, core, hub)
    case 'broadcast':
      return broadcast(event, hub)
    case 'weights-progress':
      return desk.progress(event)
    case 'weights-received':
      return desk.received(event)
    case 'proposal':
      return consensus.opened(event.proposal, event.asked)
    case 'vote':
      return consensus.voted(event.id, { peerId: event.peerId, vote: event.vote, reason: event.reason })
    case 'decided':
      return consensus.ended(event.decision)
    case 'knowledge-changed':
    case 'knowledge-compared':
      return knowledge.told(event)
    case 'agent-joined':
    case 'agent-updated':
      return hub.emit({ ...event, agent: toPeerAgent(event.agent) })
    case 'relay-connected':
    case 'peer-connected':
      core.links.add(`${event.type === 'relay-connected' ? 'relay' : 'peer'} ${event.peerId}`)
      return hub.emit(event)
    case 'relay-disconnected':
    case 'peer-disconnected':
      core.links.delete(`${event.type === 'relay-disconnected' ? 'relay' : 'peer'} ${event.peerId}`)
      return hub.emit(event)
    case 'lagged':
      return hub.emit({ ...event, buffer: 'core' })
    case 'joined':
    case 'path-changed':
    case 'peer-suspected':
    case 'peer-recovered':
    case 'mesh-split':
    case 'mesh-whole':
    case 'agent-left':
    case 'weights-failed':
    case 'no-quorum':
    case 'double-vote':
    case 'electorate':
    case 'membership':
    case 'expelled':
    case 'invite-used':
    case 'store-failed':
    case 'knowledge-expired':
    case 'content-held':
    case 'content-repaired':
    case 'offence':
      return hub.emit(event)
    default:
      return unknownEvent(event)
  }
}

function message(event: CoreEvent & { type: 'message' }, core: Core, hub: EventHub): void {
  const { type, id, from, to, body, receipt } = event
  const taken = () => core.taken(receipt)
  const decoded = decode(body)
  if ('reason' in decoded) {
    hub.emit({ type: 'undecodable', kind: type, id, from, reason: decoded.reason })
    return taken()
  }
  hub.mailbox.deliver({ type, id, from, to, payload: decoded.payload }, taken)
}

function broadcast(event: CoreEvent & { type: 'broadcast' }, hub: EventHub): void {
  const { type, id, from, topic, body, sentAt } = event
  const decoded = decode(body)
  if ('reason' in decoded) return hub.emit({ type: 'undecodable', kind: type, id, from, reason: decoded.reason })
  hub.emit({ type, id, from, topic, payload: decoded.payload, sentAt })
}

function decode(body: Uint8Array): { payload: unknown } | { reason: string } {
  try {
    return { payload: decodeValue(body, MAX_BODY) }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) }
  }
}

// Only a core of another version than this file can get here.
function unknownEvent(event: never): void {
  throw new Error(`the core sent an event of an unknown type: ${String((event as { type: unknown }).type)}`)
}
