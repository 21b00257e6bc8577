import { decodeValue, encodeValue } from './codec.js'
import { MeshError, invalid } from './errors.js'
import { checkName } from './options.js'

/** @internal Bytes of the largest value that is kept as CBOR: decoded, it takes several times as much memory. */
export const MAX_CBOR = 64 * 1024 * 1024
// Bounds of the wire format, checked here too so that the message can name the option.
const MAX_TYPE = 64

// Whatever stands before the slash, so that none of the words below is one.
const MIME = /^[^\s/]+\/[^\s/][^/]*$/

type NumberArray = { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number }
type NumberArrayClass = { new (buffer: ArrayBuffer): NumberArray; readonly BYTES_PER_ELEMENT: number }

// Word on the wire -> the class that such bytes are an array of.
const ARRAYS: ReadonlyMap<string, NumberArrayClass> = new Map<string, NumberArrayClass>([
  ['i8', Int8Array],
  ['u8c', Uint8ClampedArray],
  ['i16', Int16Array],
  ['u16', Uint16Array],
  ['i32', Int32Array],
  ['u32', Uint32Array],
  ['f32', Float32Array],
  ['f64', Float64Array],
  ['i64', BigInt64Array],
  ['u64', BigUint64Array],
])
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** @internal Bytes, and how they are to be read. */
export interface Encoded {
  readonly type: string
  readonly bytes: Uint8Array
}

/** @internal What a value is kept as; `type` is a MIME type that the caller has given. */
export function toContent(value: unknown, type: unknown): Encoded {
  if (type !== undefined) checkType(type)
  if (value instanceof ArrayBuffer) value = new Uint8Array(value)
  if (value instanceof Uint8Array) return { type: (type as string | undefined) ?? 'bytes', bytes: value }
  if (type !== undefined) throw invalid('type is for bytes: what other values are is known')
  if (value === undefined) throw invalid('the value is undefined, which cannot be kept: use null, or delete the key')
  if (typeof value === 'string') return { type: 'text', bytes: toUtf8(value) }
  for (const [type, Class] of ARRAYS) {
    if (value instanceof Class) return { type, bytes: littleEndian(value, Class.BYTES_PER_ELEMENT) }
  }
  return { type: 'cbor', bytes: encodeValue('the value', value, MAX_CBOR) }
}

/** @internal The value that its author has kept as these bytes; the bytes themselves when they are of no known type. */
export function fromContent({ type, bytes }: Encoded): unknown {
  const Class = ARRAYS.get(type)
  if (Class && bytes.length % Class.BYTES_PER_ELEMENT !== 0) throw damaged(type)
  // A copy: the bytes may lie anywhere in a buffer of others.
  if (Class) return new Class(littleEndian(bytes, Class.BYTES_PER_ELEMENT).slice().buffer)
  try {
    if (type === 'text') return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    if (type === 'cbor') return decodeValue(bytes, MAX_CBOR)
  } catch (cause) {
    throw damaged(type, cause)
  }
  return bytes
}

function checkType(type: unknown): void {
  checkName('type', type, MAX_TYPE)
  if (!MIME.test(type as string)) throw invalid(`type must be a MIME type such as 'image/png', not '${String(type)}'`)
}

function toUtf8(text: string): Uint8Array {
  if (/\p{Surrogate}/u.test(text)) throw invalid('the value is a text with half of a surrogate pair, which is no Unicode')
  return new TextEncoder().encode(text)
}

// The bytes of numbers of this size as all have them, or back.
function littleEndian({ buffer, byteOffset, byteLength }: NumberArray, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
  if (isLittleEndian) return bytes
  const swapped = bytes.slice()
  for (let at = 0; at < swapped.length; at += size) swapped.subarray(at, at + size).reverse()
  return swapped
}

function damaged(type: string, cause?: unknown): MeshError {
  return new MeshError('integrity', `the value is not the ${type} that its author says it is`, { cause })
}
