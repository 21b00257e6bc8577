import { createLibp2p } from 'libp2p'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { serve } from '../src/serve.mjs'

/**
 * Starts a js-libp2p circuit relay. Its defaults would refuse the bench: 128 KiB and 2 minutes a connection, 15
 * reservations, 5 connections a second from one host.
 *
 * @param {{ announce?: string }} options
 *   announce: one more multiaddr that it tells others, that of the proxy
 * @returns {Promise<{ address: string | undefined }>}
 */
async function start({ announce }) {
  const relay = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0/ws'], appendAnnounce: announce === undefined ? [] : [announce] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: Infinity, maxIncomingPendingConnections: 1000 },
    services: {
      identify: identify(),
      ping: ping(),
      relay: circuitRelayServer({ reservations: { applyDefaultLimit: false, maxReservations: 1000 } }),
    },
  })
  const addresses = relay.getMultiaddrs().map(String)
  return { address: addresses.find(address => announce === undefined || !address.startsWith(announce)) }
}

serve({ start })
