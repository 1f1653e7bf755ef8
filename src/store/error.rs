//! Why a store did not do what it was asked.

/// A failure of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, is full or too slow: 503 with `Retry-After`. The request may be
    /// repeated.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// More waits than the queue holds: 503 as well, and nothing was done.
    #[error("too much work is waiting for the store")]
    Busy,
    /// Another entity has this value, which is unique.
    #[error("{entity} with this {field} exists already")]
    Conflict {
        /// What kind of entity.
        entity: &'static str,
        /// Which member of it.
        field: &'static str,
    },
    /// What the entity refers to does not exist.
    #[error("{0} does not exist")]
    Missing(&'static str),
    /// The entity was changed by somebody else since it was read.
    #[error("the entity was changed in the meantime")]
    Stale,
    /// A bound of the data model, such as the last secret of a client that cannot be deleted.
    #[error("{0}")]
    Refused(&'static str),
    /// The data are damaged or the gateway is at fault: 500, and somebody has to look.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// With a reason for the log.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(why.into())
    }

    /// Whether asking again later may help (503), in contrast to what is wrong for good.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy)
    }
}
