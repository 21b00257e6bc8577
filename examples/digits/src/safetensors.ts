/**
 * Reads and writes the safetensors format, for tensors of 32-bit floats.
 *
 *   8 bytes   length of the header in bytes, unsigned, little-endian
 *   header    JSON in UTF-8: name -> { dtype, shape, data_offsets: [begin, end] }, and "__metadata__" with strings;
 *             may be padded with spaces
 *   the rest  the tensors' values, little-endian, row-major; the offsets count from here
 *
 * The reader takes bytes from strangers: whatever the header claims is checked against what is there, and no
 * memory is reserved on the header's word. Format: https://github.com/huggingface/safetensors#format
 */
export interface Tensor {
  shape: number[]
  /** Row-major; as many values as the product of `shape`. */
  data: Float32Array
}

export interface TensorFile {
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
}

/** The bytes are not a safetensors file that this reader takes; the message says what is wrong with them. */
export class SafetensorsError extends Error {
  override name = 'SafetensorsError'
}

/** Longest header in bytes that is read. A header takes about 90 bytes a tensor. */
export const MAX_HEADER = 1024 * 1024

const PREFIX = 8
const FLOAT = 4
const METADATA = '__metadata__'

export function writeSafetensors ({ tensors, metadata }: TensorFile): Uint8Array {
  const entries: [string, unknown][] = [[METADATA, metadata]]
  let end = 0
  for (const [name, { shape, data }] of tensors) {
    if (name === METADATA) throw new SafetensorsError(`"${METADATA}" cannot name a tensor`)
    if (sizeOf(shape) !== data.length) throw new SafetensorsError(`"${name}": ${data.length} values do not fill the shape [${shape.join(', ')}]`)
    const begin = end
    end += data.length * FLOAT
    entries.push([name, { dtype: 'F32', shape, data_offsets: [begin, end] }])
  }

  // Padded so that the values start at a multiple of 8, as the format's own writer does.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  const header = Math.ceil(json.length / 8) * 8
  if (header > MAX_HEADER) throw new SafetensorsError(`a header of ${header} bytes is over the limit of ${MAX_HEADER}`)
  const bytes = new Uint8Array(PREFIX + header + end).fill(0x20, PREFIX, PREFIX + header)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(header), true)
  bytes.set(json, PREFIX)
  let at = PREFIX + header
  for (const { data } of tensors.values()) {
    for (const value of data) {
      view.setFloat32(at, value, true)
      at += FLOAT
    }
  }
  return bytes
}

/** Throws {@link SafetensorsError}. */
export function readSafetensors (bytes: Uint8Array): TensorFile {
  const { header, values } = split(bytes)
  const file: TensorFile = { tensors: new Map(), metadata: {} }
  const ranges: Range[] = []
  for (const [name, entry] of Object.entries(header)) {
    if (name === METADATA) {
      file.metadata = readMetadata(entry)
      continue
    }
    const { shape, begin, end } = readEntry(name, entry, values.byteLength)
    ranges.push({ name, begin, end })
    file.tensors.set(name, { shape, data: readFloats(values, begin, end) })
  }
  checkCoverage(ranges, values.byteLength)
  return file
}

function split (bytes: Uint8Array): { header: object, values: DataView } {
  if (bytes.length < PREFIX) throw new SafetensorsError(`${bytes.length} bytes are too few for a safetensors file`)
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
  if (length > BigInt(MAX_HEADER)) throw new SafetensorsError(`a header of ${length} bytes is over the limit of ${MAX_HEADER}`)
  const start = PREFIX + Number(length)
  if (start > bytes.length) throw new SafetensorsError(`a header of ${length} bytes does not fit into ${bytes.length} bytes`)

  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(PREFIX, start)))
  } catch (cause) {
    throw new SafetensorsError('the header is not JSON', { cause })
  }
  if (!isObject(header)) throw new SafetensorsError('the header is not a JSON object')
  return { header, values: new DataView(bytes.buffer, bytes.byteOffset + start, bytes.length - start) }
}

function readMetadata (entry: unknown): Record<string, string> {
  if (!isObject(entry) || Object.values(entry).some(value => typeof value !== 'string')) {
    throw new SafetensorsError(`"${METADATA}" must map names to strings`)
  }
  return entry as Record<string, string>
}

function readEntry (name: string, entry: unknown, available: number): { shape: number[], begin: number, end: number } {
  const { dtype, shape, data_offsets: offsets } = (isObject(entry) ? entry : {}) as Record<string, unknown>
  if (dtype !== 'F32') throw new SafetensorsError(`"${name}": the dtype is ${JSON.stringify(dtype)}, and only "F32" is read`)
  if (!isCounts(shape)) throw new SafetensorsError(`"${name}": the shape must be a list of whole numbers`)
  if (!isCounts(offsets) || offsets.length !== 2) throw new SafetensorsError(`"${name}": data_offsets must be two whole numbers`)
  const [begin, end] = offsets as [number, number]
  if (begin > end || end > available) {
    throw new SafetensorsError(`"${name}": data_offsets [${begin}, ${end}] lie outside of the ${available} bytes of values`)
  }
  if (sizeOf(shape) * FLOAT !== end - begin) {
    throw new SafetensorsError(`"${name}": ${end - begin} bytes do not fill the shape [${shape.join(', ')}]`)
  }
  return { shape, begin, end }
}

/** Copied one by one: the values need not be aligned in memory, nor need this machine be little-endian. */
function readFloats (values: DataView, begin: number, end: number): Float32Array {
  const data = new Float32Array((end - begin) / FLOAT)
  for (let i = 0; i < data.length; i++) data[i] = values.getFloat32(begin + i * FLOAT, true)
  return data
}

interface Range { name: string, begin: number, end: number }

/** The format allows neither overlaps nor bytes that belong to no tensor. */
function checkCoverage (ranges: Range[], available: number): void {
  let expected = 0
  for (const { name, begin, end } of ranges.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== expected) throw new SafetensorsError(`"${name}" begins at ${begin} instead of ${expected}`)
    expected = end
  }
  if (expected !== available) throw new SafetensorsError(`${available - expected} bytes of values belong to no tensor`)
}

function sizeOf (shape: number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}

function isCounts (value: unknown): value is number[] {
  return Array.isArray(value) && value.every(item => Number.isSafeInteger(item) && item >= 0)
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
