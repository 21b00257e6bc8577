//! Without the feature `webrtc-direct`: no listener needs a certificate of its own.

use std::convert::Infallible;

use libp2p::Multiaddr;
use mesh_net::Direct;

use crate::config::Config;

/// There is none.
pub(crate) type DirectFileError = Infallible;

pub(crate) fn load(_: &Config) -> Result<Option<Direct>, DirectFileError> {
    Ok(None)
}

pub(crate) fn load_or_create(config: &Config) -> Result<Option<Direct>, DirectFileError> {
    load(config)
}

pub(crate) fn with_hash(addresses: &[Multiaddr], _: Option<&Direct>) -> Vec<Multiaddr> {
    addresses.to_vec()
}
