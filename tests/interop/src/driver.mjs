// What a test can ask of a node, of either kind. Takes and gives plain data: the node is in another process or in a page.

import { bytes, join, random, rest, sha256, text, writeAll } from './bytes.mjs'
import { Log } from './log.mjs'
import { name } from './protocols.mjs'

// An echo of a few bytes that has not come by then does not come any more.
const ECHO_MS = 20_000
// With so many echoes missing it is not streams that were lost.
const TOO_MANY = 4

export class Driver {
  log = new Log()

  // `start` is that of ours.mjs or theirs.mjs.
  async start(start, options) {
    this.node = await start(options, this.log)
    return this.node.peerId
  }

  address() {
    return this.node.address()
  }

  // Connects, and gives the milliseconds that it took.
  async dial(address) {
    const began = performance.now()
    await this.node.dial(address)
    return performance.now() - began
  }

  seen(name, match) {
    return this.log.seen(name, match)
  }

  // All that was told under these names.
  told(...names) {
    return this.log.events.filter(event => names.includes(event.name))
  }

  // What the peer has said of itself.
  identified(peer) {
    return this.node.identified(peer)
  }

  ping(peer) {
    return this.node.ping(peer)
  }

  close(peer) {
    return this.node.close(peer)
  }

  // Writes `size` bytes, ends its half, and then reads them all again.
  async echo(peer, size) {
    const stream = await this.node.open(peer, name('echo'))
    const sent = random(size)
    // The other side sends while we do: whoever does not read meanwhile makes it stop, and itself in the end.
    const [got] = await Promise.all([rest(stream), writeAll(stream, sent).then(() => stream.finish())])
    stream.free()
    return (await sha256(got)) === (await sha256(sent))
  }

  // `count` echoes, `atOnce` of them at a time: { good, errors }.
  async echoes(peer, count, atOnce, size) {
    const result = { good: 0, errors: [] }
    let left = count
    const run = async () => {
      while (left-- > 0) {
        try {
          if (await soon(this.echo(peer, size))) result.good++
        } catch (error) {
          if (result.errors.push(String(error?.message ?? error)) >= TOO_MANY) return
        }
      }
    }
    await Promise.all(Array.from({ length: atOnce }, run))
    return result
  }

  // Sends `size` bytes: { ms, good }, where the other side has told the hash of what came.
  async upload(peer, size) {
    const sent = random(size)
    const stream = await this.node.open(peer, name('sink'))
    const began = performance.now()
    await writeAll(stream, sent)
    await stream.finish()
    const hash = text(await rest(stream))
    const ms = performance.now() - began
    stream.free()
    return { ms, good: hash === (await sha256(sent)) }
  }

  // Hears the other side out, to its end, and writes only then: what it heard, and the hash of what it wrote.
  async last(peer, size) {
    const stream = await this.node.open(peer, name('first'))
    const heard = text(await rest(stream))
    const sent = random(size)
    await writeAll(stream, sent)
    await stream.finish()
    stream.free()
    return { heard, hash: await sha256(sent) }
  }

  // Both ends of a stream without a byte.
  async silence(peer) {
    const stream = await this.node.open(peer, name('silent'))
    await stream.finish()
    const { length } = await rest(stream)
    stream.free()
    return length
  }

  // Sends something, waits until it has arrived, and gives the stream up.
  async reset(peer) {
    const stream = await this.node.open(peer, name('hold'))
    await stream.write(random(1000))
    await stream.read()
    stream.reset()
  }

  // What comes of a stream that the other side gives up.
  async refused(peer) {
    const stream = await this.node.open(peer, name('refuse'))
    await stream.write(random(1))
    try {
      await rest(stream)
      return 'the end'
    } catch (error) {
      return `error: ${error?.message ?? error}`
    } finally {
      stream.free()
    }
  }

  // Reads a part of what has no end, says something, ends its half and asks the other side to stop.
  async stop(peer) {
    const stream = await this.node.open(peer, name('source'))
    const parts = []
    while (join(parts).length < 100_000) parts.push(await stream.read())
    await stream.write(bytes('enough'))
    const finished = stream.finish()
    await stream.stop()
    await finished
    return join(parts).length
  }

  // Sends without end to one that does not read: how much went until that failed.
  async flood(peer) {
    const stream = await this.node.open(peer, name('deaf'))
    const piece = random(50_000)
    for (let size = 0; ; size += piece.length) {
      try {
        await stream.write(piece)
      } catch {
        stream.free()
        return size
      }
    }
  }

  // Asks for a protocol that nobody speaks.
  async unknown(peer) {
    try {
      await this.node.open(peer, '/interop/unknown/1.0.0')
      return 'a stream'
    } catch (error) {
      return `error: ${error?.message ?? error}`
    }
  }
}

async function soon(echo) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no echo within ${ECHO_MS} ms`)), ECHO_MS)
  })
  return Promise.race([echo, late]).finally(() => clearTimeout(timer))
}
