//! Where a node keeps what it must not forget: whoever starts it brings one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use mesh_core::node::Input;
use mesh_core::proposals::{Founding, RestoreError};
use mesh_core::records::Change;
use mesh_proto::NodeId;
use mesh_proto::charter::Charter;

use crate::identity::entropy;

/// Records by key. It belongs to one node at a time.
pub trait Store: fmt::Debug + Send + Sync {
    /// Everything that is kept.
    fn load(&self) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, StoreError>>;

    /// Makes these changes. They must be safe from a crash when this ends; if there is one before, each is made or not, and
    /// none before those that it follows.
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// What a store says when it fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed: {0}")]
pub struct StoreError(pub String);

/// Why a node cannot begin with a charter.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds is of no use.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(#[from] getrandom::Error),
}

/// What a node begins with in the mesh of `charter`: without a store it has no vote.
pub(crate) async fn found(
    charter: &Charter,
    node: NodeId,
    store: Option<&Arc<dyn Store>>,
) -> Result<Founding, FoundingError> {
    let Some(store) = store else {
        return Ok(Founding::new(charter).map_err(RestoreError::from)?);
    };
    let (founding, changes) = Founding::restore(charter, node, store.load().await?, entropy()?)?;
    if !changes.is_empty() {
        store.write(changes).await?;
    }
    Ok(founding)
}

/// Makes the changes and tells the core when they are safe.
pub(crate) async fn keep(store: Option<Arc<dyn Store>>, ticket: u64, changes: Vec<Change>) -> Input {
    let durable = match store {
        Some(store) => store.write(changes).await.inspect_err(|error| tracing::error!(%error)).is_ok(),
        None => false,
    };
    Input::Kept { ticket, durable }
}
