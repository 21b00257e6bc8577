/** 0.9534 -> "95.3 %" */
export function percent (fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`
}

/** 12.3 -> "12 ms", 2210 -> "2.21 s" */
export function duration (ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`
}

/** 203960 -> "203,960" */
export function count (value: number): string {
  return value.toLocaleString('en-US')
}

/** Agent ids, peer ids and hashes are long; their ends tell them apart. "ada@12D3KooW…" -> "ada@…h7Kx2m" */
export function short (id: string): string {
  const at = id.indexOf('@')
  const key = id.slice(at + 1)
  return id.slice(0, at + 1) + (key.length > 8 ? `…${key.slice(-6)}` : key)
}
