import { generate } from 'lean-qr'

/** A QR code: `path` draws its dark squares, each one unit wide, on a square of `size` units with the quiet zone around. */
export interface QrCode {
  readonly size: number
  readonly path: string
}

/** Light units that readers need on each side. */
const QUIET = 4

/** Bytes of the largest code there is: version 40, level L. */
const MAX_BYTES = 2953

/** The QR code of a text, if it is short enough for one. */
export function qrCode(text: string): QrCode | undefined {
  if (new TextEncoder().encode(text).length > MAX_BYTES) return undefined
  const code = generate(text)
  let path = ''
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) {
      const from = x
      while (code.get(x, y)) x++
      // A row of dark squares at once: seams between them would be seen.
      if (x > from) path += `M${from + QUIET} ${y + QUIET}h${x - from}v1h${from - x}z`
    }
  }
  return { size: code.size + 2 * QUIET, path }
}
