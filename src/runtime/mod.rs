//! The compiled tree: immutable, shared by all workers, replaced whole on reload.

pub mod kept;
pub mod router;
pub mod tree;

pub use tree::Tree;
