/** What the run has to show. The example succeeds only if every claim holds. */
import { duration, percent, short } from './format.js'
import type { Steps } from './report.js'

export interface Evidence {
  ada: { joined: Steps['joined'], trained: Steps['trained'], announced: Steps['announced'], shared: Steps['shared'], heard: Steps['heard'], said: Steps['said'] }
  ben: { measured: Steps['measured'], discovered: Steps['discovered'], received: Steps['received'], learned: Steps['learned'], heard: Steps['heard'] }
  cleo: { joined: Steps['joined'], found: Steps['found'], said: Steps['said'], heard: Steps['heard'] }
}

export interface Claim { holds: boolean, text: string }

/** Chance is 10 %; random weights can be a little luckier than that. */
export const AT_MOST_BEFORE = 0.25
export const MORE_THAN_AFTER = 0.9
/** Milliseconds from the start of joining. */
export const FOUND_WITHIN = 3000

export function claims ({ ada, ben, cleo }: Evidence): Claim[] {
  const before = ben.measured.accuracy
  const after = ben.learned.accuracy
  const found = cleo.found.names.join()
  return [
    { holds: before <= AT_MOST_BEFORE, text: `before, ben reads ${percent(before)} of the held-out digits (at most ${percent(AT_MOST_BEFORE)})` },
    { holds: ben.discovered.id === ada.announced.id, text: 'ben found ada by capability' },
    { holds: ben.received.checksum === ada.shared.checksum, text: `ben's weights are ada's, byte for byte (SHA-256 ${short(ben.received.checksum)})` },
    { holds: after > MORE_THAN_AFTER, text: `after, ben reads ${percent(after)} (more than ${percent(MORE_THAN_AFTER)})` },
    { holds: after === ada.trained.accuracy, text: 'ben reads exactly as many digits as ada' },
    { holds: found === 'ada,ben' && cleo.found.ms <= FOUND_WITHIN, text: `cleo, joining late, found ada and ben in ${duration(cleo.found.ms)} (at most ${duration(FOUND_WITHIN)})` },
    { holds: isFrom(ada.heard, cleo), text: "cleo's broadcast reached ada" },
    { holds: [ben, cleo].every(({ heard }) => isFrom(heard, ada)), text: "ada's broadcast reached ben and cleo" }
  ]
}

function isFrom (heard: Steps['heard'], speaker: { joined: Steps['joined'], said: Steps['said'] }): boolean {
  return heard.from === speaker.joined.peerId && heard.payload === speaker.said.payload
}
