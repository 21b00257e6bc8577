// What this package offers, in reading order: joining, the roadmap's service, the parts of a mesh, errors.
export { createMesh, joinMesh, generateIdentity } from './mesh.js'
export type { Mesh } from './mesh.js'
export type { CallOptions, CreateOptions, JoinOptions, KnowledgeOptions, P2PMeshConfig, WebrtcOptions } from './options.js'
export { P2PNeuralMeshService } from './service.js'
export type {
  AgentCriteria,
  AgentDescription,
  AgentResources,
  Agents,
  AnnouncedAgent,
  FindOptions,
  PeerAgent,
} from './agents.js'
export type { InboxOptions, Message, Messages, Receipt, SendOptions } from './messages.js'
export type { Broadcast, BroadcastOptions, SubscribeOptions, Swarm } from './swarm.js'
export type {
  Compression,
  OnWeightsOptions,
  ReceivedWeights,
  SerializedWeights,
  ShareOptions,
  ShareResult,
  TransferProgress,
  Weights,
} from './weights.js'
export { DistributedKnowledgeStore } from './knowledge-store.js'
export type { KnowledgeBundle, KnowledgeMetadata } from './knowledge-store.js'
export type { KeysOptions, Knowledge, KnowledgeDomain } from './knowledge.js'
export type { DomainOptions, PutOptions, StoredKnowledge } from './knowledge-put.js'
export type { ContentProgress, KnowledgeChange, KnowledgeEntry, KnowledgeInfo, KnowledgeVersion, ReadOptions } from './knowledge-entry.js'
export type { KnowledgeSyncResult, PeerSync, SyncOptions, SyncProgress } from './knowledge-sync.js'
export type { ContentName, KnowledgeStorage, SharedContent } from './content.js'
export type { Directory, DirectoryEntry, FileBytes, KnowledgeFile } from './content-files.js'
export type {
  Ballot,
  Consensus,
  ConsensusResult,
  CoordinationProposal,
  Electorate,
  PendingProposal,
  Policy,
  PolicyVote,
  Proposal,
  ProposeOptions,
  Vote,
  VoteCount,
} from './consensus.js'
export { FencingGuard } from './leases.js'
export type { AcquireOptions, FencingToken, Lease, LeaseState } from './leases.js'
export { readInvite } from './members.js'
export type { InviteInfo, InviteOptions, Members, Membership, Role } from './members.js'
export { createCharter, peerIdOf, readCharter, verifyDecision, verifyRecord } from './charter.js'
export type { Charter, CharterOptions, VerifiedDecision, Voter } from './charter.js'
export { memoryStore } from './store/memory.js'
export { indexedDbStore } from './store/indexeddb.js'
export type { MeshStore, StoreChange } from './store/store.js'
export { memoryBlocks } from './store/blocks-memory.js'
export { indexedDbBlocks } from './store/blocks-indexeddb.js'
export type { BlockStore, StoredBlock } from './store/blocks.js'
export type { Health, LinkInfo, MeshMetrics, NetworkTopology, PeerInfo } from './health.js'
export type { MeshEvent, MeshEventMap, MeshEventTarget, MeshEventType, MeshListener } from './events.js'
export { MeshError } from './errors.js'
export type { ErrorCode } from './errors.js'
