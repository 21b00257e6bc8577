// Where things are. Every script works from the root of the repository, wherever it was called from.

import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '')

/** @param {string[]} parts */
export const at = (...parts) => resolve(root, ...parts)

export const exe = process.platform === 'win32' ? '.exe' : ''
