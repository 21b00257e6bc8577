import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

// node-datachannel's objects have native halves, and each keeps the process from ending. A channel's goes once it has told its
// end. There are ends that it never tells: of a channel that was over before we were told of it, and, rarely, of one that both
// ends close at the same moment. Such a half goes with its object only, when that is collected; and a process with nothing else
// to do collects nothing.

// What the core gives: a list of STUN servers.
type Config = { readonly iceServers?: readonly { readonly urls: readonly string[] }[] }
/** @internal */
export type PeerConnectionClass = new (config?: object) => EventTarget & { readonly connectionState: string; close(): void }

type Listener = () => void
type NativeChannel = { isOpen(): boolean; close(): void; onOpen(listener: Listener): void; onClosed(listener: Listener): void }
type NativePeer = {
  createDataChannel(...args: unknown[]): NativeChannel
  onDataChannel(listener: (channel: NativeChannel) => void): void
}
/** @internal The native classes, as far as they are used here. */
export type Native = { readonly PeerConnection: new (name: string, config: object) => NativePeer }

// Time that channels get to tell their ends after the last connection has been closed. What they take is a few turns.
const TELLING_MS = 500

let peers = 0
// One symbol for each channel whose native half is still there.
const channels = new Set<symbol>()
const collected = new FinalizationRegistry<symbol>(channel => channels.delete(channel))
const ends = new WeakMap<NativeChannel, Listener>()

/** @internal The class with its native halves let go in every case. */
export function releasing(base: PeerConnectionClass, { PeerConnection }: Native): PeerConnectionClass {
  class Peer extends PeerConnection {
    override createDataChannel(...args: unknown[]): NativeChannel {
      return tended(super.createDataChannel(...args))
    }
    override onDataChannel(listener: (channel: NativeChannel) => void): void {
      super.onDataChannel(channel => {
        // One that the other end has closed by now is none: it would be neither open nor over, for ever.
        if (tended(channel).isOpen()) listener(channel)
      })
    }
  }
  return class extends base {
    #open = true
    constructor({ iceServers = [] }: Config = {}) {
      super({ peerConnection: new Peer('neural-mesh', { iceServers: iceServers.flatMap(({ urls }) => urls) }) })
      peers++
      // A connection that the other end closes keeps its native half until it is closed here too.
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'closed') this.close()
      })
    }
    override close(): void {
      super.close()
      if (this.#open) peers--
      this.#open = false
      if (peers === 0) setTimeout(collect, TELLING_MS).unref()
    }
  }
}

function tended(channel: NativeChannel): NativeChannel {
  const half = Symbol('channel')
  channels.add(half)
  collected.register(channel, half)
  const { onOpen, onClosed, close } = channel
  let opened = channel.isOpen()
  return Object.defineProperties(channel, {
    onOpen: {
      value(listener: Listener) {
        const told = () => {
          opened = true
          listener()
        }
        onOpen.call(channel, told)
      },
    },
    onClosed: {
      value(listener: Listener) {
        let over = false
        const end = () => {
          if (!over) listener()
          over = true
        }
        ends.set(channel, () => {
          channels.delete(half)
          end()
        })
        onClosed.call(channel, weakly(channel))
        // Closed before it could tell.
        if (opened && !channel.isOpen()) setImmediate(end)
      },
    },
    // A channel that is being closed from elsewhere, by the other end or with its connection, tells its end by itself. To close
    // it again at that moment takes its listener away before it is told.
    close: {
      value() {
        if (!opened || channel.isOpen()) close.call(channel)
      },
    },
  })
}

// What a native half holds must not hold its object, or that is never collected.
function weakly(channel: NativeChannel): Listener {
  const object = new WeakRef(channel)
  return () => {
    const channel = object.deref()
    if (channel) ends.get(channel)?.()
  }
}

// Collects what has not told its end, if there is such a thing, and no connection is left that it may belong to.
function collect(): void {
  if (peers > 0 || channels.size === 0) return
  try {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as Listener
    gc()
  } catch {
    // An engine without it: what is left goes whenever that collects.
  }
}
