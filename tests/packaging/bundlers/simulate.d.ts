import type { createSimMesh } from 'neural-mesh/testing'

export function simulate(create: typeof createSimMesh): Promise<{ payload: unknown; trace: string }>
