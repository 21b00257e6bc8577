//! What happens to many nodes: virtual time, links, faults, Byzantine actors, invariants.

pub mod id;
pub mod overlay;
