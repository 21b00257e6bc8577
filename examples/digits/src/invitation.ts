/** How somebody else joins: printed by --stay, ready to be opened or pasted. */
import { ROOT } from './relay.js'

/** No character in it means anything to a shell between double quotes. */
export function program (mesh: string, relay: string): string[] {
  return [
    "import { joinMesh } from 'neural-mesh'",
    `const mesh = await joinMesh('${mesh}', { relays: '${relay}', agent: { id: 'guest' } })`,
    "mesh.on('broadcast', ({ payload }) => console.log(payload)); await mesh.broadcast('hello')"
  ]
}

export function invitation (mesh: string, relay: string, page: string | undefined): string[] {
  return [
    '',
    `The mesh "${mesh}" stays up at ${relay}`,
    '',
    ...(page === undefined ? [] : [`Join it in a browser: ${page}`, '']),
    'Join it from another terminal with three lines of code; ada answers a hello:',
    '',
    `cd ${JSON.stringify(ROOT)}`,
    'node --input-type=module -e "',
    ...program(mesh, relay),
    '"',
    '',
    'Ctrl-C stops it, here and there.',
    ''
  ]
}
