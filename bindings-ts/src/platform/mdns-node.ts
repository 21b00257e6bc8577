// The answering side of libp2p's mDNS: https://github.com/libp2p/specs/blob/master/discovery/mdns.md, over RFC 6762.
//
// Whoever asks for `_p2p._udp.local` is told, by multicast, at which addresses this node listens; so is everybody at the
// start. One socket for each IPv4 address that is listened on: it joins the group on that address' interface, and tells
// what is listened on there and nothing else, as rust-libp2p does. Loopback addresses are told to nobody, this machine
// included: who finds a node takes the address that the answer comes from, and only the port from the answer.
//
// Anybody on the network can ask anything. A datagram costs at most a few names, and what it can cause is one answer a
// second to the group, never to where it says it comes from.

import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import * as dns from 'dns-packet'

const GROUP = '224.0.0.251'
const PORT = 5353
const SERVICE = '_p2p._udp.local'
const ALL_SERVICES = '_services._dns-sd._udp.local'
// Seconds. Peers in Rust ask every five minutes once they know somebody; what they know must last until then.
const TTL_S = 360
// RFC 6762, 11: it shows that a packet has not been routed.
const HOPS = 255
// Bytes of a datagram that is read, and of one that is sent: what an Ethernet frame leaves.
const MAX_DATAGRAM = 1472
// Questions that are looked at, the first ones. Peers ask one.
const MAX_QUESTIONS = 32
// Addresses on one interface that are told, the first ones: there is no room for more than about ten.
const MAX_ADDRESSES = 8
// Milliseconds between two answers (RFC 6762, 6). A question in between is answered after them.
const PAUSE_MS = 1000
// RFC 6762, 6: milliseconds by which answers are put off, so that not everybody speaks at once.
const MIN_DELAY_MS = 20
const MAX_DELAY_MS = 120
// RFC 6762, 8.3: how often it is said unasked, at the start.
const ANNOUNCEMENTS = 2

const HEADER_BYTES = 12
// All that a header's flags say of a query that we can answer is 0: that it is a query, and of the standard kind.
const QR_AND_OPCODE = 0xf800

// Decodes one question; its types leave it out. `decode` of the whole library goes through all that a datagram claims to
// hold, which for a bad one of 60 KB takes a quarter of a second.
interface Question {
  decode: { (datagram: Uint8Array, at: number): { readonly name: string }; readonly bytes: number }
}
const { question } = dns as typeof dns & { readonly question: Question }

/**
 * @internal Tells who asks on the local network that this node listens at these addresses, until the returned function is
 * called. What goes wrong is a warning of the process.
 */
export function answerMdns(listening: readonly string[], port = PORT): () => void {
  let warned = false
  const warn = (reason: string) => {
    if (warned) return
    warned = true
    const message = `neural-mesh: others on the local network may not find this node: ${reason}. Without mdns: true, there is no such warning`
    process.emitWarning(message, { code: 'NEURAL_MESH_NO_MDNS' })
  }
  const groups = byInterface(listening)
  if (groups.size === 0) warn('it listens at no IPv4 address but loopback')
  const stops = [...groups].map(([host, addresses]) => respond(host, addresses, port, warn))
  return () => stops.forEach(stop => stop())
}

// The addresses that others could use, by their IP address.
function byInterface(listening: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const address of listening) {
    const host = /^\/ip4\/([\d.]+)\//.exec(address)?.[1]
    if (host !== undefined && !host.startsWith('127.')) groups.set(host, [...(groups.get(host) ?? []), address])
  }
  return groups
}

function respond(host: string, addresses: string[], port: number, warn: (reason: string) => void): () => void {
  const names = namesOf(randomBytes(16).toString('hex'))
  const answer = answerOf(names, host, addresses)
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  let open = true
  let timer: NodeJS.Timeout | undefined
  let announcements = ANNOUNCEMENTS
  let answered = -Infinity

  const stop = () => {
    if (!open) return
    open = false
    clearTimeout(timer)
    socket.close()
  }
  const fail = (error: Error) => {
    warn(`mDNS on ${host}: ${error.message}`)
    stop()
  }
  const soon = () => {
    const delay = MIN_DELAY_MS + Math.random() * (MAX_DELAY_MS - MIN_DELAY_MS)
    timer ??= setTimeout(say, Math.max(delay, answered + PAUSE_MS - performance.now()))
  }
  const say = () => {
    timer = undefined
    answered = performance.now()
    // Always to everybody: peers in Rust ask from another port than the one where they listen for answers. The network may
    // be gone for a while, so the socket stays.
    socket.send(answer, port, GROUP, error => error && warn(`mDNS on ${host}: ${error.message}`))
    if (--announcements > 0) soon()
  }

  socket.on('error', fail)
  socket.on('message', datagram => {
    if (timer === undefined && asks(datagram, names)) soon()
  })
  // At all addresses: what is sent to the group does not reach a socket at the host's. Not by way of a cluster's primary,
  // which would hand each question to one worker.
  socket.bind({ port, exclusive: true }, () => {
    try {
      socket.addMembership(GROUP, host)
      socket.setMulticastInterface(host)
      socket.setMulticastTTL(HOPS)
      soon()
    } catch (error) {
      fail(error as Error)
    }
  })
  return stop
}

interface Names {
  readonly peer: string
  readonly host: string
}

// A random label stands for the peer: its id might not fit into one some day.
function namesOf(label: string): Names {
  return { peer: `${label}.${SERVICE}`, host: `${label}.p2p.local` }
}

// One answer to everything. The first record is for those who look around; peers need the second, and the addresses in
// the third; peers in Go also need to be told a host with an address, and read one TXT record. Those in JavaScript take
// the last PTR.
function answerOf(names: Names, host: string, addresses: string[]): Uint8Array {
  const told = addresses.slice(0, MAX_ADDRESSES)
  const port = Number(/\/tcp\/(\d+)/.exec(told[0]!)?.[1])
  // Nobody else has records of these names.
  const ours = { ttl: TTL_S, flush: true }
  return dns.encode({
    type: 'response',
    flags: dns.AUTHORITATIVE_ANSWER,
    answers: [
      { type: 'PTR', name: ALL_SERVICES, data: SERVICE, ttl: TTL_S },
      { type: 'PTR', name: SERVICE, data: names.peer, ttl: TTL_S },
    ],
    additionals: [
      { type: 'TXT', name: names.peer, data: told.map(address => `dnsaddr=${address}`), ...ours },
      { type: 'SRV', name: names.peer, data: { target: names.host, port }, ...ours },
      { type: 'A', name: names.host, data: host, ...ours },
    ],
  })
}

// Whether one of the questions is about us.
function asks(datagram: Uint8Array, names: Names): boolean {
  if (datagram.length < HEADER_BYTES || datagram.length > MAX_DATAGRAM) return false
  const header = new DataView(datagram.buffer, datagram.byteOffset, HEADER_BYTES)
  if ((header.getUint16(2) & QR_AND_OPCODE) !== 0) return false
  const ours = [SERVICE, ALL_SERVICES, names.peer, names.host]
  let at = HEADER_BYTES
  try {
    for (let left = Math.min(header.getUint16(4), MAX_QUESTIONS); left > 0; left--) {
      if (ours.includes(question.decode(datagram, at).name.toLowerCase())) return true
      at += question.decode.bytes
    }
  } catch {
    // No DNS.
  }
  return false
}
