//! The tree of znodes: lookups, applying transactions, acls, quotas, digest, snapshot image.
//!
//! Invariant: [`DataTree::apply`] is deterministic, so every server that applies the same
//! transactions holds the same tree. Nothing here knows of clocks, files, sessions or watches:
//! what changed is told to the caller, one [`Change`] at a time.

pub mod acl;
mod acl_table;
mod apply;
mod blob;
pub mod digest;
pub mod image;
mod index;
mod node;
mod owned;
mod owner;
mod quota;
mod slab;
mod tree;
mod warm;

pub use apply::{Change, ChangeKind, Outcome};
pub use node::Node;
pub use owner::{CONTAINER_OWNER, MAX_TTL, OwnerKind, TreeOptions, owner_kind, ttl_owner};
pub use quota::{Quota, QuotaBreach, StatsTrack};
pub use tree::DataTree;

#[cfg(test)]
mod tests;
