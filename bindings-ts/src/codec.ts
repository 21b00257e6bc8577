import { Token, Tokenizer, Type, decode, encode, type DecodeOptions, type EncodeOptions } from 'cborg'
import { MeshError, invalid } from './errors.js'

/** @internal Largest body of a message or broadcast, in bytes. */
export const MAX_BODY = 61_440
/** @internal Largest metadata of an agent or of weights, in bytes. */
export const MAX_METADATA = 1024
/** @internal Levels of arrays and objects in a value: far below where a decoder's recursion would exhaust the stack. */
export const MAX_DEPTH = 64

const MAX_UINT64 = 2n ** 64n - 1n

// Map keys are sorted and numbers take their shortest form, so equal values have equal bytes (the DAG-CBOR order).
const ENCODE: EncodeOptions = {
  ignoreUndefinedProperties: true,
  typeEncoders: { undefined: () => new Token(Type.null, null) },
}

const DECODE: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowBigInt: true,
  rejectDuplicateMapKeys: true,
  useMaps: false,
}

/** @internal The bytes of a value; refuses what would not arrive as it was sent. */
export function encodeValue(what: string, value: unknown, maxBytes: number): Uint8Array {
  check(what, value, [])
  const bytes = encode(value ?? null, ENCODE)
  if (bytes.length > maxBytes) {
    throw new MeshError('too-large', `${what} has ${bytes.length} bytes as CBOR, at most ${maxBytes} are allowed`, {
      details: { size: bytes.length, max: maxBytes },
    })
  }
  return bytes
}

/**
 * The value that bytes from the network stand for: strict CBOR without tags, `undefined` or indefinite lengths. Throws
 * a plain `Error` that says why not.
 *
 * @internal
 */
export function decodeValue(bytes: Uint8Array, maxBytes: number): unknown {
  if (bytes.length > maxBytes) throw new Error(`${bytes.length} bytes are more than the ${maxBytes} allowed`)
  return decode(bytes, { ...DECODE, tokenizer: new BoundedTokenizer(bytes, DECODE) })
}

// Follows which container each token belongs to, and stops at the depth bound and at `__proto__` before cborg goes deeper.
class BoundedTokenizer extends Tokenizer {
  readonly #open: { left: number; map: boolean }[] = []

  override next(): Token {
    const token = super.next()
    const parent = this.#open.at(-1)
    // An own `__proto__` is harmless until somebody copies the object with Object.assign: that sets a prototype.
    if (parent?.map && parent.left % 2 === 0 && token.value === '__proto__') throw new Error("a key is '__proto__'")
    if (parent) parent.left--
    const isMap = Type.equals(token.type, Type.map)
    if (isMap || Type.equals(token.type, Type.array)) {
      this.#open.push({ left: isMap ? token.value * 2 : token.value, map: isMap })
      if (this.#open.length > MAX_DEPTH) throw new Error(`nested deeper than ${MAX_DEPTH} levels`)
    }
    while (this.#open.at(-1)?.left === 0) this.#open.pop()
    return token
  }
}

// Refuses what CBOR as used here cannot carry, and names the place: cborg would drop it, or turn it into something else.
function check(path: string, value: unknown, parents: object[]): void {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'undefined':
      return
    case 'bigint':
      if (value > MAX_UINT64 || value < -MAX_UINT64 - 1n) throw invalid(`${path} is a bigint of more than 64 bits`)
      return
    case 'object':
      return checkObject(path, value, parents)
    default:
      throw invalid(`${path} is a ${typeof value}, which cannot be sent`)
  }
}

function checkObject(path: string, value: object | null, parents: object[]): void {
  if (value === null || value instanceof Uint8Array || value instanceof ArrayBuffer) return
  if (parents.includes(value)) throw invalid(`${path} refers back to an object that holds it`)
  if (parents.length >= MAX_DEPTH) throw invalid(`${path} is nested deeper than ${MAX_DEPTH} levels`)
  const within = [...parents, value]
  if (Array.isArray(value)) {
    value.forEach((item, i) => check(`${path}[${i}]`, item, within))
    return
  }
  if (value instanceof Map) {
    for (const [key, item] of value) {
      if (typeof key !== 'string') throw invalid(`${path} is a Map with a key that is no string`)
      checkEntry(path, key, item, within)
    }
    return
  }
  const kind = Object.prototype.toString.call(value).slice(8, -1)
  if (kind !== 'Object') throw invalid(`${path} is a ${kind}, which cannot be sent${hint(value, kind)}`)
  for (const [key, item] of Object.entries(value)) checkEntry(path, key, item, within)
}

function checkEntry(path: string, key: string, item: unknown, parents: object[]): void {
  if (key === '__proto__') throw invalid(`${path} has a key '__proto__', which is not sent`)
  check(`${path}.${key}`, item, parents)
}

function hint(value: object, kind: string): string {
  if (kind === 'Date') return ': send its getTime() or toISOString()'
  if (kind === 'Set') return ': send an array, [...set]'
  if (ArrayBuffer.isView(value)) {
    return ': send its bytes, new Uint8Array(array.buffer, array.byteOffset, array.byteLength), and what they are'
  }
  return ''
}
