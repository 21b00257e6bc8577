// The file that a directory's store is kept in: a head, then a frame for each write, appended. Numbers are big-endian.
//
//   head    = "neural-mesh store 1\n" | salt (16) | sealed u64 | sum (20)
//   frame   = first 4 bytes of the salt | number u32 | length u32 of the payload | sum (20) | payload
//   payload = for each change: length u8 of the key | length u32 of the value, or 0xffffffff: removed | key | value
//
// A sum is the first 20 bytes of a SHA-256: in the head of all that stands before it, in a frame of salt, number, length and
// payload. Frames are numbered from 1 without a gap. The salt is random and new in every file, so that nothing that is kept
// in the store can look like a frame.
//
// What may be damaged without loss: a frame is appended only when the one before it is on disk, so only the last one can be
// torn, and a torn one was never acknowledged. Whatever is damaged before a whole frame, or before `sealed`, which is how
// long the file was when it was put in its place, has been acknowledged, and is lost. A bad disk that spoils the last frame
// after it was acknowledged cannot be told from a torn one; closing the store in good order seals it.

import { createHash, randomBytes } from 'node:crypto'
import { apply, type Live } from './queued.js'
import type { StoreChange } from './store.js'

const MAGIC = Buffer.from('neural-mesh store 1\n')
const SALT_BYTES = 16
const SUM_BYTES = 20
const MARK_BYTES = 4
const HEAD_BYTES = MAGIC.length + SALT_BYTES + 8 + SUM_BYTES
const FRAME_HEAD_BYTES = MARK_BYTES + 4 + 4 + SUM_BYTES
const CHANGE_HEAD_BYTES = 1 + 4
const REMOVED = 0xffffffff

/** @internal Where a log ends, and what the next frame needs. */
export interface LogEnd {
  readonly salt: Buffer
  /** The number of the last frame. */
  readonly number: number
  /** Bytes up to here. */
  readonly length: number
}

/** @internal A new log of what is live, sealed. */
export function encodeLog(live: Live): { readonly bytes: Buffer; readonly end: LogEnd } {
  const salt = randomBytes(SALT_BYTES)
  const frames = Array.from(live, ([key, value], i) => encodeFrame(salt, i + 1, [{ key, value }]))
  const length = HEAD_BYTES + liveBytes(live)
  const sealed = Buffer.alloc(8)
  sealed.writeBigUInt64BE(BigInt(length))
  const head = [MAGIC, salt, sealed]
  const bytes = Buffer.concat([...head, sum(head), ...frames])
  return { bytes, end: { salt, number: live.size, length } }
}

/** @internal Bytes that a log of just this has after its head. */
export function liveBytes(live: Live): number {
  let bytes = 0
  for (const [key, value] of live) bytes += FRAME_HEAD_BYTES + CHANGE_HEAD_BYTES + key.length + value.length
  return bytes
}

/** @internal */
export function encodeFrame(salt: Buffer, number: number, changes: readonly StoreChange[]): Buffer {
  const payload = Buffer.concat(changes.flatMap(({ key, value }) => {
    const head = Buffer.alloc(CHANGE_HEAD_BYTES)
    head.writeUInt8(key.length)
    head.writeUInt32BE(value?.length ?? REMOVED, 1)
    return [head, Buffer.from(key, 'latin1'), value ?? Buffer.alloc(0)]
  }))
  const counts = Buffer.alloc(8)
  counts.writeUInt32BE(number)
  counts.writeUInt32BE(payload.length, 4)
  return Buffer.concat([salt.subarray(0, MARK_BYTES), counts, sum([salt, counts, payload]), payload])
}

/** @internal What a log says, without a torn frame at its end; or the offset at which something is lost. */
export function replay(file: Buffer): { readonly live: Live } | { readonly lostAt: number } {
  const head = decodeHead(file)
  if (!head) return { lostAt: 0 }
  const live: Live = new Map()
  let at = HEAD_BYTES
  for (let number = 1; ; number++) {
    const frame = frameAt(file, at, head.salt)
    if (frame?.number !== number) break
    apply(live, decodePayload(frame.payload))
    at = frame.end
  }
  if (at < head.sealed || hasFrameAfter(file, at, head.salt)) return { lostAt: at }
  return { live }
}

function decodeHead(file: Buffer): { salt: Buffer; sealed: number } | undefined {
  const summed = file.subarray(0, HEAD_BYTES - SUM_BYTES)
  if (file.length < HEAD_BYTES || !file.subarray(0, MAGIC.length).equals(MAGIC)) return undefined
  if (!sum([summed]).equals(file.subarray(summed.length, HEAD_BYTES))) return undefined
  const salt = Buffer.from(summed.subarray(MAGIC.length, MAGIC.length + SALT_BYTES))
  return { salt, sealed: Number(summed.readBigUInt64BE(MAGIC.length + SALT_BYTES)) }
}

// The frame that begins there, if it is whole.
function frameAt(file: Buffer, at: number, salt: Buffer): { number: number; payload: Buffer; end: number } | undefined {
  const start = at + FRAME_HEAD_BYTES
  if (start > file.length || !file.subarray(at, at + MARK_BYTES).equals(salt.subarray(0, MARK_BYTES))) return undefined
  const counts = file.subarray(at + MARK_BYTES, at + MARK_BYTES + 8)
  const end = start + counts.readUInt32BE(4)
  if (end > file.length) return undefined
  const payload = file.subarray(start, end)
  if (!sum([salt, counts, payload]).equals(file.subarray(start - SUM_BYTES, start))) return undefined
  return { number: counts.readUInt32BE(), payload, end }
}

function hasFrameAfter(file: Buffer, at: number, salt: Buffer): boolean {
  const mark = salt.subarray(0, MARK_BYTES)
  for (let next = file.indexOf(mark, at); next >= 0; next = file.indexOf(mark, next + 1)) {
    if (frameAt(file, next, salt)) return true
  }
  return false
}

function decodePayload(payload: Buffer): StoreChange[] {
  const changes: StoreChange[] = []
  for (let at = 0; at < payload.length; ) {
    const keyEnd = at + CHANGE_HEAD_BYTES + payload.readUInt8(at)
    const length = payload.readUInt32BE(at + 1)
    const key = payload.toString('latin1', at + CHANGE_HEAD_BYTES, keyEnd)
    at = length === REMOVED ? keyEnd : keyEnd + length
    // A copy: else a small value would keep the whole file in memory.
    changes.push({ key, value: length === REMOVED ? undefined : new Uint8Array(payload.subarray(keyEnd, at)) })
  }
  return changes
}

function sum(parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest().subarray(0, SUM_BYTES)
}
