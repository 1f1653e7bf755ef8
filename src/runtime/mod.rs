//! The compiled tree: immutable, shared by all workers, replaced whole on reload.

pub mod kept;
pub mod router;
mod series;
pub mod tree;

pub use series::ClientSeries;
pub use tree::Tree;
