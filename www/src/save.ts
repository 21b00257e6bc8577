// Long enough for the browser to begin, short enough to keep nothing.
const KEPT_MS = 60_000

/** Gives bytes to the browser to be saved, as a download of that name. */
export function save(name: string, bytes: Uint8Array, type = 'application/cbor'): void {
  const url = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS)
}
