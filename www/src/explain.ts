import { MeshError, type ErrorCode } from 'neural-mesh'

/** What went wrong, and what to do about it, in a sentence each. */
export interface Explanation {
  readonly message: string
  readonly next: string
  /** Both. */
  readonly text: string
  /** What it was, in a word of the package. */
  readonly code?: ErrorCode
}

const NEXT: Readonly<Record<ErrorCode, string>> = {
  'invalid-argument': 'Change that, then try again.',
  'unknown-agent': 'It may have left: look who is there, or try again in a moment.',
  'ambiguous-agent': 'Choose the agent from the list.',
  'peer-unreachable': 'It may have closed its page; who is gone leaves the list within five minutes.',
  timeout: 'It may have arrived all the same: ask before you send it again.',
  'too-large': 'Send less at a time, or as a file.',
  'over-quota': 'Wait until what is under way has ended, then try again.',
  integrity: 'Send it again.',
  refused: 'Try again later: the other side has too much under way, or takes none.',
  aborted: '',
  closed: 'Join again.',
  // Its message says what to check.
  'relay-unreachable': '',
  'no-quorum': 'Wait until more voters are back.',
  'already-voted': 'The first vote counts.',
  'not-a-voter': 'Ask the founder of the mesh for a vote.',
  lapsed: 'Propose it again, with more time.',
  'already-decided': 'See what was decided below.',
  'unknown-proposal': 'It may have ended long ago: ask somebody who was there.',
  held: 'Wait until it is free, then try again.',
  'not-held': 'Acquire it again.',
  'not-a-founder': 'Ask the founder of the mesh.',
  // Its message says what to do.
  'not-a-member': '',
  'invite-invalid': 'An invite is for one node: who has used it comes in again from the same browser, in one tab.',
  'in-use': 'Close the other tab, then try again.',
  'store-failed': 'Make room in the browser’s storage, then reload the page.',
  'storage-full': 'Make room in the browser’s storage, then try again.',
  'not-found': 'Whoever has it may be back later: try again then.',
  'not-a-writer': 'Ask the owner of the domain.',
  internal: 'Reload the page. If it happens again, report it.',
}

export function explain(error: unknown): Explanation {
  const known = MeshError.isInstance(error)
  const aborted = known && error.code === 'aborted'
  const message = aborted ? 'Cancelled' : error instanceof Error ? error.message : String(error)
  const next = known ? NEXT[error.code] : ''
  const text = [sentence(message), next].filter(part => part !== '').join(' ')
  return { message, next, text, ...(known && { code: error.code }) }
}

function sentence(text: string): string {
  const end = /[.!?…]$/.test(text) ? '' : '.'
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${end}`
}
