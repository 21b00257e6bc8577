// What either node does with a stream that the other one opens. A stream here is { read, write, finish, reset, free }:
// `read` gives bytes or, at the end, undefined; `finish` ends our half; `reset` gives up both.

import { bytes, random, rest, sha256, text } from './bytes.mjs'

const PIECE = 16_000

const kept = new Set()

const serve = {
  // Gives back what comes, as it comes, and ends after the other side has.
  async echo(stream) {
    for (let part = await stream.read(); part !== undefined; part = await stream.read()) await stream.write(part)
    await stream.finish()
  },

  // Takes everything, and only then answers with its hash.
  async sink(stream) {
    await stream.write(bytes(await sha256(await rest(stream))))
    await stream.finish()
  },

  // Ends its half before it reads anything.
  async first(stream, tell) {
    await stream.write(bytes('said first'))
    await stream.finish()
    tell('heard', { hash: await sha256(await rest(stream)) })
  },

  // Says nothing at all and ends; the other half too may end without a byte.
  async silent(stream, tell) {
    await stream.finish()
    tell('silence', { bytes: (await rest(stream)).length })
  },

  // Reads on until the stream ends, however it does.
  async hold(stream, tell) {
    let size = 0
    try {
      for (let part = await stream.read(); part !== undefined; part = await stream.read()) {
        size += part.length
        await stream.write(bytes('.'))
      }
      tell('held', { end: 'finished', size })
    } catch (error) {
      tell('held', { end: 'error', size, error: String(error?.message ?? error) })
    }
  },

  // Gives up as soon as something comes.
  async refuse(stream) {
    await stream.read()
    stream.reset()
  },

  // Never reads. The stream is kept, for else it would be reset.
  async deaf(stream) {
    kept.add(stream)
    await new Promise(() => {})
  },

  // Writes until it cannot any more.
  async source(stream, tell) {
    const piece = random(PIECE)
    try {
      for (;;) await stream.write(piece)
    } catch (error) {
      tell('stopped', { error: String(error?.message ?? error) })
    }
    await stream.finish().catch(() => {})
    // The other half has ended as it should: its last words are there.
    tell('rest', { text: text(await rest(stream)) })
  },
}

export const name = protocol => `/interop/${protocol}/1.0.0`

export const names = Object.keys(serve).map(name)

// Serves a stream of the protocol of this name.
export async function serveStream(protocol, stream, tell) {
  try {
    await serve[protocol.split('/')[2]](stream, tell)
  } catch (error) {
    tell('trouble', { protocol, error: String(error?.message ?? error) })
  } finally {
    stream.free()
  }
}
