import { webSockets } from '@libp2p/websockets'

/**
 * js-libp2p's WebSocket transport with one fault repaired: in 10.1.21 a refused dial rejects with an ErrorEvent, which the
 * reconnect queue (p-retry) takes for a programming mistake, so that it gives a keep-alive peer up at the first refusal.
 * The bench is to measure the back-off that is meant.
 *
 * @returns {ReturnType<typeof webSockets>}
 */
export function retryableWebSockets() {
  const create = webSockets()
  return components => {
    const transport = create(components)
    const dial = transport.dial.bind(transport)
    transport.dial = async (address, options) => {
      try {
        return await dial(address, options)
      } catch (error) {
        throw error instanceof Error ? error : new Error(`could not connect to ${address}`)
      }
    }
    return transport
  }
}
