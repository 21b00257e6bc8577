import type { KnowledgeVersion } from 'neural-mesh'
import { bytes, clip, payloadText } from './words.js'

/** What stands in the form that puts something under a key. */
export interface Draft {
  domain: string
  key: string
  kind: 'text' | 'json' | 'file'
  text: string
  file: File | undefined
  /** Milliseconds until the key counts as taken away; 0 for ever. */
  ttlMs: number
}

/** What `put` is given. */
export interface Given {
  readonly value: unknown
  readonly type?: string
  readonly metadata?: unknown
}

/** Bytes of the largest value that is fetched to be shown at once; larger ones are saved. */
export const MAX_SHOWN = 256 * 1024
/** Characters of a value that are drawn. */
export const MAX_DRAWN_TEXT = 10_000
/** Bytes of the largest value that is saved. */
export const MAX_SAVED = 256 * 1024 * 1024
const MAX_NUMBERS = 100
// The bound of the package for a type, in bytes, and for metadata, with room for what is around a name.
const MAX_TYPE = 64
const MAX_NAME = 256
const MIME = /^[^\s/]+\/[^\s/][^/]*$/
// Words of the package that are no MIME types.
const WORDS: Readonly<Record<string, string>> = { cbor: 'JSON', text: 'text', bytes: 'bytes' }
const NUMBERS = /^[iuf](8|16|32|64)c?$/

/** How a value is to be read, in a word. */
export function kindOf(type: string): string {
  return NUMBERS.test(type) ? `${type} numbers` : (WORDS[type] ?? type)
}

/** Whether a value of this type can be read by people. Bytes cannot, whatever type they have: what others send is never run or drawn. */
export const isReadable = (type: string) => type === 'cbor' || type === 'text' || NUMBERS.test(type)

/** What is in the form, as the package takes it. @throws Error that says what to change */
export async function givenBy({ kind, text, file }: Draft, maxBytes: number): Promise<Given> {
  if (kind === 'text') return { value: text }
  if (kind === 'json') return { value: parsed(text) }
  if (!file) throw new Error('Choose a file first.')
  if (file.size > maxBytes) throw new Error(`${clip(file.name, 100)} has ${bytes(file.size)}, and this page keeps ${bytes(maxBytes)} at most.`)
  return { value: new Uint8Array(await file.arrayBuffer()), ...typed(file.type), metadata: { name: clip(file.name, MAX_NAME) } }
}

/** The type of bytes, when it is one that can be put. */
export function typed(type: string): { type?: string } {
  return MIME.test(type) && new TextEncoder().encode(type).length <= MAX_TYPE ? { type } : {}
}

/** A value as text, as far as it is drawn, and how many characters or numbers more there are; undefined of bytes. */
export function shown(value: unknown): { readonly text: string; readonly more: number } | undefined {
  if (value instanceof Uint8Array) return undefined
  if (ArrayBuffer.isView(value)) {
    const numbers = value as unknown as ArrayLike<number | bigint>
    const first = Array.from({ length: Math.min(numbers.length, MAX_NUMBERS) }, (_, i) => String(numbers[i]))
    return { text: first.join(', '), more: numbers.length - first.length }
  }
  const whole = payloadText(value, Infinity)
  const text = clip(whole, MAX_DRAWN_TEXT)
  return { text, more: whole.length === text.length ? 0 : whole.length - text.length + 1 }
}

/** What a file of it is called: as its author says, or as the last part of its key, with an ending that tells what it is. */
export function fileName({ key, type, metadata }: KnowledgeVersion, isJson: boolean): string {
  const told = (metadata as { name?: unknown } | null | undefined)?.name
  const name = clip(typeof told === 'string' && told !== '' ? told : key.slice(key.lastIndexOf('/') + 1) || 'value', MAX_NAME)
  const ending = isJson ? '.json' : type === 'text' ? '.txt' : type === 'cbor' ? '.cbor' : ''
  return /\.\w+$/.test(name) ? name : `${name}${ending}`
}

/** A value as JSON, when that can carry all of it: neither bytes, nor whole numbers of 64 bits, nor what is no number. */
export function jsonOf(value: unknown): string | undefined {
  const lost = (part: unknown) => typeof part === 'bigint' || ArrayBuffer.isView(part) || (typeof part === 'number' && !Number.isFinite(part))
  let isWhole = true
  const look = (_: string, part: unknown) => {
    isWhole &&= !lost(part)
    return isWhole ? part : null
  }
  const json = JSON.stringify(value, look, 1)
  return isWhole ? json : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`This is no JSON: ${(error as Error).message}`)
  }
}
