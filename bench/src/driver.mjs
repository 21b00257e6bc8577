/**
 * What a library must be able to do to be measured: the bench is written against this, and `ours/agent.mjs` and
 * `theirs/agent.mjs` each implement it, so that both sides run the same loops and the same clock.
 *
 * @typedef {object} Driver
 * @property {(options: JoinOptions) => Promise<string>} join
 *   Starts a node and connects it to the relay; resolves, once others can reach it, to the address for `connect`.
 * @property {(to: string) => Promise<void>} connect resolves when messages and transfers to that agent can flow
 * @property {(to: string, body: Uint8Array) => Promise<void>} send
 *   One small message; resolves when the receiving application has had it. Calls may overlap.
 * @property {(to: string, body: Uint8Array) => Promise<void>} transfer
 *   Bulk bytes; resolves when the receiver has all of them and their SHA-256 is right.
 * @property {(body: Uint8Array) => Promise<void>} publish one signed gossip message to everybody
 * @property {(handler: (body: Uint8Array) => void) => void} onMessage bodies given to `send` by others
 * @property {(handler: (body: Uint8Array) => void) => void} onBroadcast bodies given to `publish` by others
 * @property {() => number} drops connections to peers and relays that were lost since `join`
 * @property {(bytes: Uint8Array) => Promise<string>} [add] keeps a file; resolves to its CID, by which others get it
 * @property {(cid: string, from: string) => Promise<Uint8Array>} [fetch]
 *   A file that is not here, from whoever has the address `from`, each block checked against its CID.
 * @property {(names: string[]) => Promise<void>} [announce] more agents on this node
 * @property {() => Promise<number>} [known] agents of other nodes in the local directory
 * @property {(peers: string[]) => Promise<void>} [elect] says who votes
 * @property {(voters: number) => Promise<void>} [approve]
 *   Approves everything from now on; resolves when it knows of so many voters.
 * @property {(number: number) => Promise<boolean>} [propose] resolves to whether the voters approve
 * @property {(resource: string) => Promise<void>} [acquire] resolves when it has it, and has given it back
 */

/**
 * @typedef {object} JoinOptions
 * @property {string} relay multiaddr of the relay, ending in its peer id
 * @property {string} name
 * @property {{ charter: number[], identity: number[], store: string }} [voter] to vote; `store` is a directory
 * @property {boolean} [listen] others reach it without a relay, for a library that else is behind one
 * @property {{ high: number, low: number }} [marks] for a raw channel: when it waits for its send buffer, and until when, bytes
 */

export {}
