//! Parts of long lists.

use super::Digest;
use uuid::Uuid;

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many at most.
    pub size: usize,
    /// After the entity with this id; `None`: from the beginning.
    pub after: Option<Uuid>,
}

impl Page {
    /// The largest page.
    pub const LARGEST: usize = 1000;

    /// The first `size` entities.
    pub fn first(size: usize) -> Self {
        Self { size, after: None }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The entities.
    pub items: Vec<T>,
    /// The id of the last of them, if more follow.
    pub next: Option<Uuid>,
    /// How many there are in all parts; `None` if more than 10 000.
    pub total: Option<u64>,
}

impl<T> Listing<T> {
    /// How far totals are counted.
    pub const COUNTED: u64 = 10_000;
}

/// Tags that an entity must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    /// All of them.
    All(Vec<String>),
    /// One of them at least.
    Any(Vec<String>),
}

impl TagFilter {
    /// Whether these tags pass.
    pub fn accepts(&self, tags: &[String]) -> bool {
        match self {
            Self::All(wanted) => wanted.iter().all(|tag| tags.contains(tag)),
            Self::Any(wanted) => wanted.iter().any(|tag| tags.contains(tag)),
        }
    }
}

/// Which consumers. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerFilter {
    /// With this name.
    pub username: Option<String>,
    /// With this id of the owner's books.
    pub custom_id: Option<String>,
    /// With these tags.
    pub tags: Option<TagFilter>,
}

/// Which clients. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Of this server.
    pub server: Option<String>,
    /// With this `client_id`.
    pub client_id: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// Of this consumer.
    pub consumer: Option<Uuid>,
    /// With these tags.
    pub tags: Option<TagFilter>,
}

/// Which tokens. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// With this access token value.
    pub access: Option<Digest>,
    /// With this refresh token value.
    pub refresh: Option<Digest>,
    /// Issued to one of these clients.
    pub client_keys: Option<Vec<Uuid>>,
    /// Issued to a client of this name.
    pub client_id: Option<String>,
    /// Of this user.
    pub subject: Option<String>,
    /// With this scope among its scopes.
    pub scope: Option<String>,
    /// `Some(true)`: neither expired nor revoked at that time; `Some(false)`: the others.
    pub active: Option<(bool, super::Millis)>,
}

impl TokenFilter {
    /// Whether it leaves nothing out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
