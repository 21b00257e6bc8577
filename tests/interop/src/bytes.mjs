// Bytes that no mistake could make up.

const STEP = 65_536

export function random(size) {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += STEP) crypto.getRandomValues(bytes.subarray(at, Math.min(at + STEP, size)))
  return bytes
}

// The same ones each time: xorshift of 32 bits, the low byte of each step. What the vectors of files are made of.
export function xorshift(size, seed = 0x12345678) {
  const bytes = new Uint8Array(size)
  let x = seed
  for (let at = 0; at < size; at++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    bytes[at] = x
  }
  return bytes
}

export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('')
}

export function join(parts) {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

export const text = bytes => new TextDecoder().decode(bytes)
export const bytes = text => new TextEncoder().encode(text)

// All that a stream brings until its end.
export async function rest(stream) {
  const parts = []
  for (let part = await stream.read(); part !== undefined; part = await stream.read()) parts.push(part)
  return join(parts)
}

// Writes in pieces of a size that is no frame's.
export async function writeAll(stream, all, piece = 50_000) {
  for (let at = 0; at < all.length; at += piece) await stream.write(all.subarray(at, at + piece))
}
