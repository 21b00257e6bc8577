//! What a program asks about knowledge: keys, and the content that they stand for.

use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use mesh_core::knowledge::{Done, Error, Kept};
use mesh_proto::NodeId;
use mesh_proto::knowledge::{Change, Content, Domain, Version};
use serde_bytes::ByteBuf;

use crate::blocks::{BlocksError, FetchOptions, Meter, ReadOptions};
use crate::calls::{Call as AnyCall, Closed, Handle, Reply};
use crate::identity::peer_of;

/// A call about knowledge.
pub(crate) enum Call {
    /// Whether a write is in the store.
    Settled(u64, Reply<bool>),
    WhoHas(Cid, Reply<Vec<NodeId>>),
    /// When content is where it was placed.
    Held(Cid, Reply<()>),
    Compare(NodeId, Domain, Reply<Done>),
}

/// How content is put under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOptions {
    /// How many others are to hold it, 1 to 8.
    pub replicas: u8,
    /// How its bytes are to be read, at most 64 bytes of the application's.
    pub kind: String,
    /// Opaque to the mesh, at most 1 KiB.
    pub metadata: Option<Vec<u8>>,
    /// Unix milliseconds from which on the key counts as taken away.
    pub expires: Option<u64>,
    /// Milliseconds in which the others have to say that they hold it; what is said later is an event.
    pub wait_ms: u64,
}

impl Default for PutOptions {
    /// Three others, and three seconds.
    fn default() -> Self {
        Self { replicas: 3, kind: String::new(), metadata: None, expires: None, wait_ms: 3_000 }
    }
}

/// Content that was put under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// What is under the key now.
    pub content: Content,
    /// Names it among all that was ever under the key.
    pub version: Version,
    /// Where it was placed.
    pub placed: Vec<NodeId>,
    /// Who says that it holds it, this node included.
    pub holders: Vec<NodeId>,
}

/// Why a key was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The entry is not taken.
    #[error(transparent)]
    Entry(#[from] Error),
    /// There is no room for the content.
    #[error("there is no room for {bytes} bytes beside what has to stay: {held} of {max} bytes are taken")]
    Full {
        /// Bytes of the content.
        bytes: u64,
        /// Bytes that are here.
        held: u64,
        /// Bytes that may be here.
        max: u64,
    },
    /// The content was not put into the store.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    /// The entry is not certain to be in the store. Others may have it all the same.
    #[error(
        "the store has failed: this node may have forgotten the entry when it starts again, though others may have it"
    )]
    StoreFailed,
}

/// How much is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes of blocks, with what each takes besides, and how many may be here.
    pub shelf: (u64, u64),
    /// Contents that were placed here, and those of them that are here.
    pub contents: (usize, usize),
    /// Entries, and their bytes.
    pub entries: (usize, usize),
}

/// Keys of a domain, in order, each with all that it stands for.
pub type Keys = Vec<(String, Vec<Kept>)>;

impl Handle {
    /// Puts content under a key, and waits until it is in the store and, for a while, until others hold it.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`PutError`].
    pub async fn put(
        &self,
        domain: Domain,
        key: String,
        bytes: Bytes,
        options: PutOptions,
    ) -> Result<Result<Put, PutError>, Closed> {
        let PutOptions { replicas, kind, metadata, expires, wait_ms } = options;
        let size = bytes.len() as u64;
        let room = self.with(move |node, _| {
            let shelf = node.knowledge().shelf();
            shelf.admits(size).then_some(()).ok_or_else(|| shelf.load())
        });
        if let Err((held, max)) = room.await? {
            return Ok(Err(PutError::Full { bytes: size, held, max }));
        }
        let cid = match self.add_file(bytes).await? {
            Ok((root, _)) => root.cid,
            Err(error) => return Ok(Err(error.into())),
        };
        let metadata = metadata.map(ByteBuf::from);
        let content = Content { cid, size, replicas, kind, metadata };
        let change = Change::Put(content.clone());
        let version = match self.write(domain, key, change, expires).await? {
            Ok(version) => version,
            Err(error) => return Ok(Err(error)),
        };
        let held = self.knowledge(|reply| Call::Held(cid, reply)).fuse();
        let late = mesh_platform::sleep(wait_ms).fuse();
        futures::select! {
            held = std::pin::pin!(held) => held?,
            () = std::pin::pin!(late) => {}
        }
        let (placed, holders) = self.places(cid).await?;
        Ok(Ok(Put { content, version, placed, holders }))
    }

    /// Changes a key, and waits until that is in the store. The content of a [`Change::Put`] is here already.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`PutError`].
    pub async fn write(
        &self,
        domain: Domain,
        key: String,
        change: Change,
        expires: Option<u64>,
    ) -> Result<Result<Version, PutError>, Closed> {
        let (of, at) = (domain.clone(), key.clone());
        let written = self.with(move |node, now| {
            let written = node.write(domain, key, change, expires, now)?;
            let kept = node.known(&of, &at).iter().find(|kept| kept.id == written.id);
            Ok((written.write, kept.map(|kept| kept.version)))
        });
        let (write, version) = match written.await? {
            Ok((write, Some(version))) => (write, version),
            // What is written goes before all that is known.
            Ok((_, None)) => return Ok(Err(PutError::StoreFailed)),
            Err(error) => return Ok(Err(PutError::Entry(error))),
        };
        let durable = self.knowledge(|reply| Call::Settled(write, reply)).await?;
        Ok(if durable { Ok(version) } else { Err(PutError::StoreFailed) })
    }

    /// What a key stands for, and its siblings: the latest first. What has expired is among them.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn known(&self, domain: Domain, key: String) -> Result<Vec<Kept>, Closed> {
        self.with(move |node, _| node.known(&domain, &key).to_vec()).await
    }

    /// At most `limit` keys of a domain that begin with `prefix`, after `after`.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn keys(
        &self,
        domain: Domain,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Keys, Closed> {
        self.with(move |node, _| {
            let keys = node.knowledge().ledger().keys(&domain, &prefix, after.as_deref());
            keys.take(limit).map(|(key, kept)| (key.to_owned(), kept.to_vec())).collect()
        })
        .await
    }

    /// The domains of which something is known, with the entries of each and their hash: equal where the same is known.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn domains(&self) -> Result<Vec<mesh_proto::knowledge::Summary>, Closed> {
        self.with(|node, _| node.knowledge_summaries()).await
    }

    /// The bytes that a key stands for. What is not here comes from others, and is kept as long as there is room.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`BlocksError`].
    pub async fn content(
        &self,
        content: &Content,
        patience_ms: u64,
        meter: Option<Meter>,
    ) -> Result<Result<Vec<Bytes>, BlocksError>, Closed> {
        let (cid, size) = (content.cid, content.size);
        let known = self.with(move |node, now| {
            let here = node.knowledge().shelf().has(&cid);
            node.read_content(&cid, now);
            let admits = node.knowledge().shelf().admits(size);
            (here, admits, node.knowledge().providers(&cid))
        });
        let (here, admits, providers) = known.await?;
        let from: Vec<_> = providers.iter().filter_map(peer_of).collect();
        if !here && admits {
            let mut options = FetchOptions { from: from.clone(), meter, ..FetchOptions::default() };
            options.limits.bytes = size.saturating_add(size / 100).saturating_add(64 * 1024);
            options.limits.patience_ms = patience_ms;
            match self.fetch(cid, options).await? {
                // It may have gone again by the time it is read: then it is fetched again.
                Ok(_) => {}
                // What cannot be kept can be read all the same.
                Err(failed) if matches!(failed.error, BlocksError::Store(_)) => {}
                Err(failed) => return Ok(Err(failed.error)),
            }
        }
        let options = ReadOptions { range: None, max_bytes: size, from, patience_ms };
        self.read(cid, options).await
    }

    /// Compares a domain with a neighbour and exchanges what differs; nothing if there is no link to it, too many comparisons are
    /// under way, or the link went.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn compare(&self, peer: NodeId, domain: Domain) -> Result<Option<Done>, Closed> {
        let (reply, answer) = futures::channel::oneshot::channel();
        self.give(AnyCall::Knowledge(Call::Compare(peer, domain, reply))).await?;
        Ok(answer.await.ok())
    }

    /// Who holds content, as far as those answer who should or could have it.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn who_has(&self, cid: Cid) -> Result<Vec<NodeId>, Closed> {
        let (reply, answer) = futures::channel::oneshot::channel();
        self.give(AnyCall::Knowledge(Call::WhoHas(cid, reply))).await?;
        Ok(answer.await.unwrap_or_default())
    }

    /// Where content was placed, and who has told this node that it holds it.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn places(&self, cid: Cid) -> Result<(Vec<NodeId>, Vec<NodeId>), Closed> {
        self.with(move |node, _| node.knowledge().places(&cid)).await
    }

    /// Gets content and keeps it here until it is unpinned, through restarts.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`PutError`].
    pub async fn pin(&self, cid: Cid, mut options: FetchOptions) -> Result<Result<(), PutError>, Closed> {
        let known = self.with(move |node, _| (node.knowledge().shelf().has(&cid), node.knowledge().providers(&cid)));
        let (here, providers) = known.await?;
        if !here {
            options.from.extend(providers.iter().filter_map(peer_of));
            if let Err(failed) = self.fetch(cid, options).await? {
                return Ok(Err(failed.error.into()));
            }
        }
        let write = self.with(move |node, now| node.pin(cid, now)).await?;
        let durable = self.knowledge(|reply| Call::Settled(write, reply)).await?;
        Ok(if durable { Ok(()) } else { Err(PutError::StoreFailed) })
    }

    /// Keeps it no longer for that.
    ///
    /// # Errors
    /// [`Closed`]; inside, [`PutError::StoreFailed`].
    pub async fn unpin(&self, cid: Cid) -> Result<Result<(), PutError>, Closed> {
        let write = self.with(move |node, now| node.unpin(&cid, now)).await?;
        let durable = self.knowledge(|reply| Call::Settled(write, reply)).await?;
        Ok(if durable { Ok(()) } else { Err(PutError::StoreFailed) })
    }

    /// How much is here.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn load(&self) -> Result<Load, Closed> {
        self.with(|node, _| {
            let knowledge = node.knowledge();
            Load { shelf: knowledge.shelf().load(), contents: knowledge.held(), entries: knowledge.ledger().load() }
        })
        .await
    }

    /// What is pinned here.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn pins(&self) -> Result<Vec<Cid>, Closed> {
        self.with(|node, _| node.knowledge().pins().iter().copied().collect()).await
    }

    fn knowledge<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> impl Future<Output = Result<T, Closed>> {
        self.call(|reply| AnyCall::Knowledge(call(reply)))
    }
}
