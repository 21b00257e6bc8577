import type { FileInfo, MeshNode } from './generated/mesh_wasm.js'
import { invalid } from './errors.js'

/** A file or directory that is kept. */
export interface KnowledgeFile {
  /** Its CID. */
  readonly cid: string
  /** Bytes of the file, or of all files in the directory. */
  readonly size: number
  /** Bytes of all its blocks. */
  readonly dagSize: number
}

/** What a file is made of. */
export type FileBytes = Uint8Array | ArrayBuffer | Blob

/** What a directory is made of, by name: files, or what they are made of, and directories. */
export interface Directory {
  readonly [name: string]: KnowledgeFile | FileBytes | Directory
}

/** An entry of a directory. */
export interface DirectoryEntry {
  /** Its name. */
  readonly name: string
  /** The CID of the file or directory. */
  readonly cid: string
  /** Bytes of all its blocks, by whoever has made the directory. */
  readonly dagSize?: number
}

// Directories in directories.
const MAX_LEVELS = 32

/** @internal The bytes that a file is made of. */
export async function bytesOf(what: string, bytes: unknown): Promise<Uint8Array> {
  if (bytes instanceof Uint8Array) return bytes
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes)
  if (typeof Blob === 'function' && bytes instanceof Blob) return new Uint8Array(await bytes.arrayBuffer())
  throw invalid(`${what} must be a Uint8Array, an ArrayBuffer or a Blob`)
}

/** @internal Adds all files of a tree, then the directories above them; in the end only the outermost is pinned for that. */
export async function addTree(node: MeshNode, tree: Directory, signal: AbortSignal | undefined): Promise<KnowledgeFile> {
  checkTree('the directory', tree, 1)
  const before = new Set(await node.pinnedContent())
  const made = new Set<string>()
  let root: FileInfo | undefined
  try {
    root = await addLevel(node, 'the directory', tree, made, signal)
    return root
  } finally {
    for (const cid of made) if (cid !== root?.cid && !before.has(cid)) await node.unpinContent(cid)
  }
}

async function addLevel(node: MeshNode, path: string, tree: Directory, made: Set<string>, signal: AbortSignal | undefined): Promise<FileInfo> {
  const files: { name: string; file: FileInfo }[] = []
  for (const [name, entry] of Object.entries(tree)) {
    const within = `${path}/${name}`
    files.push({ name, file: isFile(entry) ? entry : await addEntry(node, within, entry, made, signal) })
  }
  return added(made, await node.addDirectory(files, signal))
}

async function addEntry(node: MeshNode, path: string, entry: unknown, made: Set<string>, signal: AbortSignal | undefined): Promise<FileInfo> {
  if (isTree(entry)) return addLevel(node, path, entry, made, signal)
  return added(made, await node.addFile(await bytesOf(path, entry), signal))
}

function added(made: Set<string>, file: FileInfo): FileInfo {
  made.add(file.cid)
  return file
}

// Before anything is added.
function checkTree(path: string, tree: unknown, level: number): void {
  if (!isTree(tree)) throw invalid(`${path} must be an object of files by their names`)
  if (level > MAX_LEVELS) throw invalid(`${path} is more than ${MAX_LEVELS} directories deep`)
  for (const [name, entry] of Object.entries(tree)) {
    if (isTree(entry) && !isFile(entry)) checkTree(`${path}/${name}`, entry, level + 1)
  }
}

function isFile(entry: unknown): entry is FileInfo {
  const { cid, size, dagSize } = (entry ?? {}) as Partial<Record<keyof FileInfo, unknown>>
  return typeof cid === 'string' && typeof size === 'number' && typeof dagSize === 'number'
}

function isTree(entry: unknown): entry is Directory {
  return Object.prototype.toString.call(entry) === '[object Object]'
}
