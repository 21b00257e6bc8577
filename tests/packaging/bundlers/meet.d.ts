import type { joinMesh, LinkInfo } from 'neural-mesh'

export interface Meeting {
  mesh: string
  relays: string
  agent: string
}

export interface Outcome {
  link: LinkInfo
  replies: unknown[]
}

export function meet(join: typeof joinMesh, meeting: Meeting): Promise<Outcome>
