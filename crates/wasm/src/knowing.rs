//! Knowing together: what JavaScript asks of a node.

use cid::Cid;
use futures::{FutureExt as _, StreamExt as _};
use js_sys::{Function, Uint8Array};
use mesh_core::knowledge::{self, Follow};
use mesh_net::blocks::{self, BlockStats, BlockStoreError, BlocksError, FetchOptions, ListOptions, Meter};
use mesh_net::{Load, PutError, PutOptions};
use mesh_proto::gossip::Storage;
use mesh_proto::knowledge::{Change, Content};
use mesh_proto::ordered;
use mesh_unixfs::Root;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tsify::{Ts, Tsify};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

use crate::MeshNode;
use crate::abort::unless_aborted;
use crate::convert::{brief, millis};
use crate::entries::{ComparedInfo, DomainInfo, EntryInfo, KeyInfo, compared, domain, entry, summary, version_text};
use crate::error::{ErrorCode, MeshFault};
use crate::peer::{node, peer_text};
use crate::pull::js_array;
use crate::types::KnowledgeConfig;

/// Milliseconds in which nothing comes of content that is looked for, unless the caller says otherwise.
const PATIENCE_MS: u64 = 30_000;

/// How content is put under a key.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct PutInfo {
    /// How many others are to hold it, 1 to 8.
    pub replicas: u8,
    /// How it is to be read, at most 64 bytes.
    #[serde(rename = "type")]
    pub kind: String,
    /// At most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional, type = "Uint8Array")]
    pub metadata: Option<ByteBuf>,
    /// Unix milliseconds from which on the key counts as taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub expires_at: Option<f64>,
    /// Milliseconds in which others have to say that they hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub wait_ms: Option<f64>,
}

/// Content that was put under a key.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct StoredInfo {
    /// Its root.
    pub cid: String,
    /// The version of the key.
    pub version: String,
    /// Where it was placed.
    pub placed: Vec<String>,
    /// Who says that it holds it, this node included.
    pub holders: Vec<String>,
}

/// A file or directory.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// Its root.
    pub cid: String,
    /// Bytes of the file, or of all files in the directory.
    pub size: u64,
    /// Bytes of all its blocks.
    pub dag_size: u64,
}

/// A file or directory by its name in another.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct NamedFile {
    /// Its name there.
    pub name: String,
    /// What it is.
    pub file: FileInfo,
}

/// An entry of a directory.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryEntry {
    /// Its name.
    pub name: String,
    /// The root of the file or directory.
    pub cid: String,
    /// Bytes of all its blocks, by whoever made the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub dag_size: Option<u64>,
}

/// How content is got.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct GetInfo {
    /// The most bytes; 64 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub max_bytes: Option<f64>,
    /// Milliseconds in which nothing of it comes, after which it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub timeout_ms: Option<f64>,
}

/// What is kept here of content.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct StorageInfo {
    /// Bytes that are taken.
    pub used: u64,
    /// Bytes that may be.
    pub max: u64,
    /// Blocks.
    pub blocks: usize,
    /// Contents that were placed here by others.
    pub placed: usize,
    /// Of them, those that are here.
    pub held: usize,
    /// Entries that are known.
    pub entries: usize,
    /// Bytes of these entries.
    pub entry_bytes: usize,
    /// Bytes of blocks that others were sent.
    pub sent: u64,
    /// Bytes of blocks that came from others.
    pub received: u64,
}

#[wasm_bindgen]
impl MeshNode {
    /// Puts content under a key of a domain, `name` or `name@peerId`.
    #[wasm_bindgen(js_name = putKnowledge)]
    pub async fn put_knowledge(
        &self,
        of: &str,
        key: String,
        bytes: Vec<u8>,
        options: Ts<PutInfo>,
        signal: Option<AbortSignal>,
    ) -> Result<Ts<StoredInfo>, MeshFault> {
        let PutInfo { replicas, kind, metadata, expires_at, wait_ms } = options.to_rust()?;
        let options = PutOptions {
            replicas,
            kind,
            metadata: metadata.map(ByteBuf::into_vec),
            expires: expires_at.map(|at| at as u64),
            wait_ms: millis(wait_ms, PutOptions::default().wait_ms),
        };
        let put = self.handle.put(domain(of)?, key, bytes.into(), options);
        let put = unless_aborted(signal, put).await???;
        let stored = StoredInfo {
            cid: put.content.cid.to_string(),
            version: version_text(&put.version),
            placed: put.placed.iter().map(peer_text).collect(),
            holders: put.holders.iter().map(peer_text).collect(),
        };
        Ok(stored.into_ts()?)
    }

    /// Takes a key away; its version after that.
    #[wasm_bindgen(js_name = deleteKnowledge)]
    pub async fn delete_knowledge(&self, of: &str, key: String) -> Result<String, MeshFault> {
        let version = self.handle.write(domain(of)?, key, Change::Delete, None).await??;
        Ok(version_text(&version))
    }

    /// Lets these write in a domain of this node's, and nobody else beside it.
    #[wasm_bindgen(js_name = grantKnowledge)]
    pub async fn grant_knowledge(&self, of: &str, writers: Vec<String>) -> Result<String, MeshFault> {
        let mut writers = writers.iter().map(|writer| node(writer)).collect::<Result<Vec<_>, _>>()?;
        writers.sort_unstable();
        writers.dedup();
        let version = self.handle.write(domain(of)?, String::new(), Change::Grant(writers), None).await??;
        Ok(version_text(&version))
    }

    /// What a key stands for, and its siblings: the latest first.
    pub async fn knowledge(&self, of: &str, key: String) -> Result<Vec<Ts<EntryInfo>>, MeshFault> {
        let of = domain(of)?;
        let known = self.handle.known(of.clone(), key.clone()).await?;
        let entries = known.iter().map(|kept| entry(&of, &key, kept).into_ts());
        Ok(entries.collect::<Result<_, _>>()?)
    }

    /// At most `limit` keys of a domain that begin with `prefix`, after `after`.
    #[wasm_bindgen(js_name = knowledgeKeys)]
    pub async fn knowledge_keys(
        &self,
        of: &str,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Ts<KeyInfo>>, MeshFault> {
        let of = domain(of)?;
        let keys = self.handle.keys(of.clone(), prefix, after, limit as usize).await?;
        let info = |(key, kept): (String, Vec<_>)| {
            let entries = kept.iter().map(|kept| entry(&of, &key, kept)).collect();
            KeyInfo { key, entries }.into_ts()
        };
        Ok(keys.into_iter().map(info).collect::<Result<_, _>>()?)
    }

    /// The domains of which something is known.
    #[wasm_bindgen(js_name = knowledgeDomains)]
    pub async fn knowledge_domains(&self) -> Result<Vec<Ts<DomainInfo>>, MeshFault> {
        let domains = self.handle.domains().await?;
        Ok(domains.iter().map(|domain| summary(domain).into_ts()).collect::<Result<_, _>>()?)
    }

    /// Compares a domain with a neighbour and exchanges what differs; `undefined` if there is no link to it, or too many
    /// comparisons are under way.
    #[wasm_bindgen(js_name = compareKnowledge)]
    pub async fn compare_knowledge(
        &self,
        peer: &str,
        of: &str,
        signal: Option<AbortSignal>,
    ) -> Result<Option<Ts<ComparedInfo>>, MeshFault> {
        let done = unless_aborted(signal, self.handle.compare(node(peer)?, domain(of)?)).await??;
        Ok(done.map(|done| compared(&done).into_ts()).transpose()?)
    }

    /// The bytes of a file. What is not here comes from others; `progress` is called with the bytes that are here.
    pub async fn content(
        &self,
        cid: &str,
        options: Ts<GetInfo>,
        progress: Option<Function>,
        signal: Option<AbortSignal>,
    ) -> Result<Uint8Array, MeshFault> {
        let GetInfo { max_bytes, timeout_ms } = options.to_rust()?;
        let size = max_bytes.map_or(64 << 20, |max| max as u64);
        let content = Content { cid: root(cid)?, size, replicas: 1, kind: String::new(), metadata: None };
        let patience = millis(timeout_ms, PATIENCE_MS);
        let got = metered(progress, |meter| self.handle.content(&content, patience, meter));
        let chunks = unless_aborted(signal, got).await???;
        Ok(js_array(&chunks))
    }

    /// The entries of a directory.
    #[wasm_bindgen(js_name = listContent)]
    pub async fn list_content(
        &self,
        cid: &str,
        options: Ts<GetInfo>,
        signal: Option<AbortSignal>,
    ) -> Result<Vec<Ts<DirectoryEntry>>, MeshFault> {
        let GetInfo { max_bytes: _, timeout_ms } = options.to_rust()?;
        let options = ListOptions { patience_ms: millis(timeout_ms, PATIENCE_MS), ..ListOptions::default() };
        let entries = unless_aborted(signal, self.handle.list(root(cid)?, options)).await???;
        let entry = |entry: mesh_unixfs::Entry| {
            let mesh_unixfs::Entry { name, cid, dag_size } = entry;
            DirectoryEntry { name, cid: cid.to_string(), dag_size }.into_ts()
        };
        Ok(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
    }

    /// Cuts a file into blocks and keeps them here, pinned.
    #[wasm_bindgen(js_name = addFile)]
    pub async fn add_file(&self, bytes: Vec<u8>, signal: Option<AbortSignal>) -> Result<Ts<FileInfo>, MeshFault> {
        let (root, _) = unless_aborted(signal, self.handle.add_file(bytes.into())).await???;
        self.handle.pin(root.cid, FetchOptions::default()).await??;
        Ok(file(&root).into_ts()?)
    }

    /// Makes a directory and keeps it here with all that is in it, pinned.
    #[wasm_bindgen(js_name = addDirectory)]
    pub async fn add_directory(
        &self,
        files: Vec<Ts<NamedFile>>,
        signal: Option<AbortSignal>,
    ) -> Result<Ts<FileInfo>, MeshFault> {
        let named = |named: Ts<NamedFile>| -> Result<(String, Root), MeshFault> {
            let NamedFile { name, file: FileInfo { cid, size, dag_size } } = named.to_rust()?;
            Ok((name, Root { cid: root(&cid)?, size, dag_size }))
        };
        let files = files.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let added = unless_aborted(signal, self.handle.add_directory(files, FetchOptions::default())).await??;
        let (root, _) = added.map_err(|failed| failed.error)?;
        self.handle.pin(root.cid, FetchOptions::default()).await??;
        Ok(file(&root).into_ts()?)
    }

    /// Gets a file or directory and keeps it here until it is unpinned; `progress` is called with the bytes that are here.
    #[wasm_bindgen(js_name = pinContent)]
    pub async fn pin_content(
        &self,
        cid: &str,
        options: Ts<GetInfo>,
        progress: Option<Function>,
        signal: Option<AbortSignal>,
    ) -> Result<(), MeshFault> {
        let GetInfo { max_bytes, timeout_ms } = options.to_rust()?;
        let cid = root(cid)?;
        let mut options = FetchOptions::default();
        options.limits.patience_ms = millis(timeout_ms, PATIENCE_MS);
        if let Some(max) = max_bytes {
            options.limits.bytes = max as u64;
        }
        let pinned = metered(progress, |meter| self.handle.pin(cid, FetchOptions { meter, ..options }));
        Ok(unless_aborted(signal, pinned).await???)
    }

    /// Keeps it no longer for that.
    #[wasm_bindgen(js_name = unpinContent)]
    pub async fn unpin_content(&self, cid: &str) -> Result<(), MeshFault> {
        Ok(self.handle.unpin(root(cid)?).await??)
    }

    /// What is pinned here.
    #[wasm_bindgen(js_name = pinnedContent)]
    pub async fn pinned_content(&self) -> Result<Vec<String>, MeshFault> {
        Ok(self.handle.pins().await?.iter().map(Cid::to_string).collect())
    }

    /// Who holds content, as far as those answer who should or could have it.
    #[wasm_bindgen(js_name = whoHas)]
    pub async fn who_has(&self, cid: &str, signal: Option<AbortSignal>) -> Result<Vec<String>, MeshFault> {
        let holders = unless_aborted(signal, self.handle.who_has(root(cid)?)).await??;
        Ok(holders.iter().map(peer_text).collect())
    }

    /// What is kept here of content.
    pub async fn storage(&self) -> Result<Ts<StorageInfo>, MeshFault> {
        let stats = self.handle.block_stats().await?;
        let Load { shelf: (used, max), contents: (placed, held), entries: (entries, entry_bytes) } =
            self.handle.load().await?;
        let BlockStats { blocks, bytes: _, sent, received } = stats;
        Ok(StorageInfo { used, max, blocks, placed, held, entries, entry_bytes, sent, received }.into_ts()?)
    }
}

/// What the core is told.
pub(crate) fn config(given: KnowledgeConfig) -> Result<knowledge::Config, MeshFault> {
    let KnowledgeConfig { max_bytes, holds, native, zone, domains } = given;
    let mut config = knowledge::Config::default();
    let bytes = max_bytes as u64;
    config.holding.max_bytes = bytes;
    config.offer = holds.then_some(Storage { bytes, native, zone });
    if let Some(domains) = domains {
        let domains = domains.iter().map(|text| domain(text)).collect::<Result<Vec<_>, _>>()?;
        config.ledger.follow = Follow::Only(ordered(domains));
    }
    Ok(config)
}

/// What `work` comes to, while `progress` is called with the bytes that are here.
async fn metered<T>(progress: Option<Function>, work: impl AsyncFnOnce(Option<Meter>) -> T) -> T {
    let Some(told) = progress else { return work(None).await };
    let (meter, mut watcher) = blocks::progress();
    let mut work = std::pin::pin!(work(Some(meter)).fuse());
    loop {
        futures::select! {
            done = work => return done,
            progress = watcher.next().fuse() => match progress {
                // What it throws is its own.
                Some(progress) => drop(told.call1(&JsValue::UNDEFINED, &JsValue::from_f64(progress.bytes as f64))),
                None => return work.await,
            },
        }
    }
}

fn root(cid: &str) -> Result<Cid, MeshFault> {
    cid.parse().map_err(|_| MeshFault::invalid(format!("'{}' is not a CID", brief(cid))))
}

fn file(root: &Root) -> FileInfo {
    let Root { cid, size, dag_size } = root;
    FileInfo { cid: cid.to_string(), size: *size, dag_size: *dag_size }
}

impl From<BlocksError> for MeshFault {
    fn from(error: BlocksError) -> Self {
        let code = match &error {
            BlocksError::TooLarge(_) | BlocksError::Unreadable(mesh_unixfs::Error::TooLarge { .. }) => {
                ErrorCode::TooLarge
            }
            BlocksError::NotFound(_) => ErrorCode::NotFound,
            BlocksError::Unreadable(_) => ErrorCode::Integrity,
            BlocksError::Store(error) => return error.clone().into(),
            BlocksError::Busy => ErrorCode::OverQuota,
            BlocksError::Cancelled => ErrorCode::Aborted,
        };
        Self::new(code, error)
    }
}

impl From<BlockStoreError> for MeshFault {
    fn from(error: BlockStoreError) -> Self {
        let code = match &error {
            BlockStoreError::Full => ErrorCode::StorageFull,
            BlockStoreError::Failed(_) => ErrorCode::StoreFailed,
        };
        Self::new(code, error)
    }
}

impl From<PutError> for MeshFault {
    fn from(error: PutError) -> Self {
        let code = match &error {
            PutError::Entry(error) => return error.clone().into(),
            PutError::Blocks(error) => return error.clone().into(),
            PutError::Full { .. } => ErrorCode::StorageFull,
            PutError::StoreFailed => ErrorCode::StoreFailed,
        };
        Self::new(code, error)
    }
}
