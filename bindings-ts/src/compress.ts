import { MeshError } from './errors.js'

// DEFLATE cannot expand by more than this (zlib's technical details), give or take its header.
const MAX_RATIO = 1032
const HEADER_BYTES = 64

/** @internal The bytes as a gzip member (RFC 1952). */
export async function gzip(data: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  await through(data, new CompressionStream('gzip'), signal, chunk => {
    chunks.push(chunk)
    length += chunk.length
  })
  const whole = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

/**
 * What was compressed, which must have exactly `rawSize` bytes: the first byte past it ends the work, so a small body
 * that claims to be large, or turns out to be, costs no more than what it claims.
 *
 * @internal
 */
export async function gunzip(data: Uint8Array<ArrayBuffer>, rawSize: number): Promise<Uint8Array<ArrayBuffer>> {
  if (rawSize > data.length * MAX_RATIO + HEADER_BYTES) {
    throw integrity(`${data.length} bytes of gzip cannot hold the ${rawSize} bytes that they are said to`)
  }
  const raw = new Uint8Array(rawSize)
  let length = 0
  try {
    await through(data, new DecompressionStream('gzip'), undefined, chunk => {
      if (length + chunk.length > rawSize) throw integrity(`uncompressed, they are more than the ${rawSize} bytes announced`)
      raw.set(chunk, length)
      length += chunk.length
    })
  } catch (error) {
    throw MeshError.isInstance(error) ? error : integrity('they are not gzip', error)
  }
  if (length !== rawSize) throw integrity(`uncompressed, they are ${length} bytes and not the ${rawSize} announced`)
  return raw
}

/** @internal SHA-256, in hex. */
export async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new MeshError('internal', 'WebCrypto is missing: weights need a page served by https or from localhost')
  }
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', data))
  return Array.from(hash, byte => byte.toString(16).padStart(2, '0')).join('')
}

// Large inputs go in by slices, so that what comes out is seen, and the input stopped, in between.
const SLICE = 64 * 1024

async function through(
  data: Uint8Array<ArrayBuffer>,
  transform: GenericTransformStream,
  signal: AbortSignal | undefined,
  onChunk: (chunk: Uint8Array) => void,
): Promise<void> {
  let at = 0
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= data.length) return controller.close()
      controller.enqueue(data.subarray(at, at + SLICE))
      at += SLICE
    },
  })
  const reader = source.pipeThrough(transform as ReadableWritablePair<Uint8Array, Uint8Array>).getReader()
  try {
    for (;;) {
      signal?.throwIfAborted()
      const { done, value } = await reader.read()
      if (done) return
      onChunk(value)
    }
  } catch (error) {
    reader.cancel(error).catch(() => {})
    throw error
  }
}

function integrity(message: string, cause?: unknown): MeshError {
  return new MeshError('integrity', `the weights are damaged: ${message}`, cause === undefined ? {} : { cause })
}
