//! What must survive a restart or be shared between instances.
//!
//! A trait for each purpose; [`Store`] is all of them. `sqlite` keeps everything in one file,
//! [`memory`] keeps what a gateway without `storage` needs. No trait knows SQL.
//!
//! **How to use it.** A worker holds an `Arc<dyn Store>` and awaits [`Answer`]s. An answer to a
//! write comes when the write is durable, and what must happen together is one call: see
//! [`Codes::use_code`] and [`Tokens::rotate`]. Everything that takes rights away (`delete_…`,
//! `revoke_…`) takes a [`Cut`]; when it is answered the [`RevocationSet`] of this process has the
//! entry already, so the next request is refused. Reads tell what is stored, expired or not: who asks
//! compares the times. Lookups of tokens and codes go by [`Digest`]; the values never come here.
//!
//! **Validating a token** needs no store when it is a JWT, and a lookup that may be cached (60 s) when
//! it is opaque; then, for both, [`RevocationSet::is_revoked`], which is exact and never waits.
//!
//! **At rest.** [`Vault`] says what is kept of secrets and tokens, and recognises them.
//!
//! **Errors.** [`StoreError::is_transient`] is 503 with `Retry-After: 2` (AS-COM-8);
//! [`StoreError::Conflict`] and [`StoreError::Stale`] are for the admin API; anything else is 500.

mod answer;
mod cache;
mod database;
mod error;
pub mod foreign;
pub mod memory;
mod page;
mod record;
mod revocation;
pub mod sqlite;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod vault;

pub use answer::Answer;
pub use database::{Database, Storage, Sweep};
pub use error::StoreError;
pub use page::{ClientFilter, ConsumerFilter, Listing, Page, TagFilter, TokenFilter};
pub use record::*;
pub use revocation::{RevocationSet, TokenKeys};
pub use vault::Vault;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The tokens of one answer of the token endpoint, stored together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issue {
    /// A new family.
    pub family: Option<GrantFamily>,
    /// A new opaque access token (JWTs are not stored).
    pub access: Option<AccessToken>,
    /// A new refresh token.
    pub refresh: Option<RefreshToken>,
}

/// What became of the presentation of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeUse {
    /// This caller used it; what was to be issued is stored.
    Used,
    /// Somebody was first. The family may have tokens, which [`Tokens::revoke_family`] ends.
    Replayed {
        /// The family of the code.
        family: Uuid,
    },
    /// There is no such code, or its time is over.
    Unknown,
}

/// A request to exchange a refresh token for its successor.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// Digest of the presented token.
    pub hash: Digest,
    /// Now.
    pub now: Millis,
    /// How long the presented value still works; zero: not at all.
    pub grace: Duration,
    /// How often.
    pub grace_uses: u32,
    /// The new refresh token, whose `parent` is the presented one.
    pub successor: RefreshToken,
    /// The new one's value, sealed under a key derived from the presented value.
    pub successor_sealed: Sealed,
    /// The new access token, if it is opaque.
    pub access: Option<AccessToken>,
    /// With `invalidate_access`: the access token issued with the presented one ends.
    pub invalidate_access: Option<Cut>,
    /// With `reuse = "revoke_family"`: reuse revokes the family. Where there is no grace, a
    /// presentation within a second of the rotation is taken for a network retry and only refused.
    pub revoke_on_reuse: Option<Cut>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The successor is in force.
    Rotated,
    /// It was rotated before, within the grace: hand out the successor that is sealed here. The new
    /// access token is stored; the new refresh token is not.
    Replayed {
        /// The value of the successor, sealed under the presented value.
        successor: Sealed,
    },
    /// It was rotated before, and the grace is over or used up.
    Reused {
        /// Its family.
        family: Uuid,
        /// Whether the family is revoked now.
        revoked: bool,
    },
    /// There is no such token, its time is over, or it or its family was revoked.
    Unknown,
}

/// A poll of a device code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevicePoll {
    /// There is no such code, or its tokens were fetched.
    Unknown,
    /// Its time is over.
    Expired,
    /// The client asks too often; the interval is five seconds longer now.
    SlowDown,
    /// Nobody has decided.
    Pending,
    /// The user refused.
    Denied,
    /// The user allowed it: check the client, make the tokens, call [`Interactions::use_device`].
    Approved(Box<DeviceCode>),
}

/// A client with its secrets, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClient {
    /// The client.
    pub client: Client,
    /// Its secrets, ended ones too.
    pub secrets: Vec<ClientSecret>,
}

/// A refresh token with its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRefresh {
    /// The token.
    pub token: RefreshToken,
    /// Its family.
    pub family: GrantFamily,
}

/// A token as the admin API lists it: an access token, a refresh token, or both from one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedToken {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token issued with it.
    pub refresh: Option<RefreshToken>,
}

/// Clients and their secrets. A client belongs to one authorization server.
pub trait Clients {
    /// The client of a server with this `client_id`.
    fn client(&self, server: &str, client_id: &str) -> Answer<Option<StoredClient>>;
    /// The client with this id.
    fn client_by_id(&self, id: Uuid) -> Answer<Option<StoredClient>>;
    /// A page of clients in order of their ids.
    fn clients(&self, filter: ClientFilter, page: Page) -> Answer<Listing<Client>>;
    /// A new client. [`StoreError::Conflict`] if the `client_id` is taken, [`StoreError::Missing`] if
    /// the consumer is not there.
    fn create_client(&self, client: Client, secrets: Vec<ClientSecret>) -> Answer<()>;
    /// Replaces a client whose `version` is still that of `client` ([`StoreError::Stale`] otherwise);
    /// with `secrets`, all its secrets, too. Gives the client with its new version.
    fn update_client(&self, client: Client, secrets: Option<Vec<ClientSecret>>) -> Answer<Client>;
    /// Deletes a client, its secrets and consents, and revokes everything it was issued. Whether it
    /// was there.
    fn delete_client(&self, id: Uuid, cut: Cut) -> Answer<bool>;
    /// Adds a secret, if the client has fewer than `most` that have not ended.
    fn add_secret(&self, secret: ClientSecret, most: usize) -> Answer<()>;
    /// Deletes a secret; the last one that has not ended is refused. Whether it was there.
    fn delete_secret(&self, client: Uuid, secret: Uuid, now: Millis) -> Answer<bool>;
    /// Puts another hash of the same secret in place of an imported one.
    fn rehash_secret(&self, secret: Uuid, hash: String) -> Answer<()>;
    /// Notes that a client (and the secret it showed) was used; not more than once a minute each.
    fn touch_client(&self, client: Uuid, secret: Option<Uuid>, now: Millis) -> Answer<()>;
}

/// Consumers.
pub trait Consumers {
    /// The consumer with this id.
    fn consumer(&self, id: Uuid) -> Answer<Option<Consumer>>;
    /// The consumer with this `username`.
    fn consumer_by_username(&self, username: &str) -> Answer<Option<Consumer>>;
    /// A page of consumers in order of their ids.
    fn consumers(&self, filter: ConsumerFilter, page: Page) -> Answer<Listing<Consumer>>;
    /// A new consumer. [`StoreError::Conflict`] names `username` or `custom_id`.
    fn create_consumer(&self, consumer: Consumer) -> Answer<()>;
    /// Replaces a consumer whose `version` is still that of `consumer`.
    fn update_consumer(&self, consumer: Consumer) -> Answer<Consumer>;
    /// Deletes a consumer and its clients as [`Clients::delete_client`] does. Whether it was there.
    fn delete_consumer(&self, id: Uuid, cut: Cut) -> Answer<bool>;
}

/// Authorization codes.
pub trait Codes {
    /// Stores a new code.
    fn add_code(&self, code: AuthorizationCode) -> Answer<()>;
    /// Looks at a code without using it, so that the request can be checked and tokens be signed.
    fn code(&self, hash: Digest) -> Answer<Option<AuthorizationCode>>;
    /// Uses a code and stores what it yields in one transaction (AS-CON-4): of any number of callers
    /// one gets [`CodeUse::Used`]. With an empty issue the code is used up and yields nothing
    /// (AS-CODE-3).
    fn use_code(&self, hash: Digest, now: Millis, issue: Issue) -> Answer<CodeUse>;
}

/// Opaque access tokens, refresh tokens and their families.
pub trait Tokens {
    /// Stores the tokens of one answer.
    fn issue(&self, issue: Issue) -> Answer<()>;
    /// The opaque access token with this digest; from a cache if it was asked for within a minute.
    fn access_token(&self, hash: Digest) -> Answer<Option<Arc<AccessToken>>>;
    /// The refresh token with this digest, and its family.
    fn refresh_token(&self, hash: Digest) -> Answer<Option<StoredRefresh>>;
    /// Exchanges a refresh token for its successor in one transaction (AS-CON-5).
    fn rotate(&self, rotate: Rotate) -> Answer<Rotation>;
    /// For `rotation = "never"`: stores a new access token for a refresh token that stays, and lets it
    /// live until `expires_at` (idle time). `false`: it is not active any more.
    fn keep_refresh(
        &self,
        hash: Digest,
        now: Millis,
        expires_at: Option<Millis>,
        access: Option<AccessToken>,
        invalidate_access: Option<Cut>,
    ) -> Answer<bool>;
    /// The family with this id.
    fn family(&self, id: Uuid) -> Answer<Option<GrantFamily>>;
    /// A page of families in order of their ids; those of one user or one client if given.
    fn families(
        &self,
        subject: Option<String>,
        client_key: Option<Uuid>,
        page: Page,
    ) -> Answer<Listing<GrantFamily>>;
    /// All refresh tokens of a family.
    fn refresh_tokens(&self, family: Uuid) -> Answer<Vec<RefreshToken>>;
    /// Revokes a family with all its tokens. Whether it was there and not revoked yet.
    fn revoke_family(&self, family: Uuid, server: &str, cut: Cut) -> Answer<bool>;
    /// Ends one opaque access token. Whether it was there.
    fn revoke_access(&self, id: Uuid, cut: Cut) -> Answer<bool>;
    /// A page of tokens in order of their ids.
    fn tokens(&self, filter: TokenFilter, page: Page) -> Answer<Listing<ListedToken>>;
    /// The token with this id.
    fn token_by_id(&self, id: Uuid) -> Answer<Option<ListedToken>>;
    /// Replaces what an operator may change of a token: its end, scope and user.
    fn update_token(&self, token: AccessToken) -> Answer<()>;
    /// Ends every token that the filter finds, families included; how many.
    fn revoke_tokens(&self, filter: TokenFilter, cut: Cut) -> Answer<u64>;
}

/// Device codes, pushed requests, interactions and sessions.
pub trait Interactions {
    /// Stores a device code. [`StoreError::Conflict`] if its user code is in use: draw another.
    fn add_device(&self, device: DeviceCode) -> Answer<()>;
    /// The device code that a user code stands for.
    fn device_by_user_code(&self, user_code: Digest) -> Answer<Option<DeviceCode>>;
    /// Writes down what the user decided: the state, `subject` and `details` of `device`. `false` if
    /// the code has been decided before or its time is over.
    fn decide_device(&self, device: DeviceCode, now: Millis) -> Answer<bool>;
    /// The client asks whether the user has decided.
    fn poll_device(&self, hash: Digest, client_key: Uuid, now: Millis) -> Answer<DevicePoll>;
    /// Uses an approved code and stores its tokens; `false`: somebody was first.
    fn use_device(&self, hash: Digest, now: Millis, issue: Issue) -> Answer<bool>;
    /// Stores or replaces what a handle stands for.
    fn put_handle(&self, handle: Handle) -> Answer<()>;
    /// What a handle stands for.
    fn handle(&self, kind: HandleKind, hash: Digest) -> Answer<Option<Handle>>;
    /// Takes it away; one caller gets it.
    fn take_handle(&self, kind: HandleKind, hash: Digest) -> Answer<Option<Handle>>;
    /// Ends all sessions of a user; how many.
    fn end_sessions(&self, subject: &str) -> Answer<u64>;
}

/// Values that may be seen once: `jti` of assertions and proofs.
pub trait Replay {
    /// Notes a value until `expires_at`. `true`: it is new; `false`: it is a replay.
    fn first_use(&self, digest: Digest, now: Millis, expires_at: Millis) -> Answer<bool>;
}

/// The revocation log.
pub trait Revocations {
    /// What is revoked, for validating; always there, never waits.
    fn revoked(&self) -> &Arc<RevocationSet>;
    /// Adds an entry; one with the same key and an earlier cut-off is replaced. Gives it with its
    /// place in the log.
    fn revoke(&self, revocation: Revocation) -> Answer<Revocation>;
    /// The log, `after` a position, at most `limit` entries.
    fn revocations(&self, after: i64, limit: u32) -> Answer<Vec<Revocation>>;
}

/// Managed signing keys, sealed.
pub trait Keys {
    /// The keys of a server.
    fn keys(&self, server: &str) -> Answer<Vec<StoredKey>>;
    /// Writes all changes of one rotation together.
    fn put_keys(&self, keys: Vec<StoredKey>) -> Answer<()>;
    /// Removes a key.
    fn remove_key(&self, server: &str, kid: &str) -> Answer<bool>;
}

/// What users have allowed.
pub trait Consents {
    /// What a user has allowed a client.
    fn consent(&self, subject: &str, client_key: Uuid) -> Answer<Option<Consent>>;
    /// Remembers it.
    fn put_consent(&self, consent: Consent) -> Answer<()>;
    /// Forgets it.
    fn forget_consent(&self, subject: &str, client_key: Uuid) -> Answer<bool>;
}

/// The built-in user table.
pub trait Users {
    /// The user of a name.
    fn user(&self, username: &str) -> Answer<Option<UserAccount>>;
    /// The user with this id.
    fn user_by_id(&self, id: Uuid) -> Answer<Option<UserAccount>>;
    /// A page of users in order of their ids.
    fn users(&self, page: Page) -> Answer<Listing<UserAccount>>;
    /// A new user.
    fn create_user(&self, user: UserAccount) -> Answer<()>;
    /// Replaces a user.
    fn update_user(&self, user: UserAccount) -> Answer<()>;
    /// Deletes a user, its sessions and consents, and revokes its tokens at every server of `servers`.
    fn delete_user(&self, id: Uuid, servers: Vec<String>, cut: Cut) -> Answer<bool>;
    /// Notes a failed attempt; the `most`th locks the account for `lockout`. Gives the user as it is now.
    fn login_failed(
        &self,
        id: Uuid,
        now: Millis,
        most: u32,
        lockout: Duration,
    ) -> Answer<Option<UserAccount>>;
    /// Forgets failed attempts.
    fn login_succeeded(&self, id: Uuid) -> Answer<()>;
}

/// The audit chain.
pub trait Audit {
    /// Appends an entry. Gives it with its place in the chain.
    fn audit(&self, entry: AuditEntry) -> Answer<AuditEntry>;
    /// Entries after a position, oldest first.
    fn audit_log(&self, after: i64, limit: u32) -> Answer<Vec<AuditEntry>>;
}

/// Tasks that one instance at a time does.
pub trait Leases {
    /// Takes or prolongs a lease until `until`, unless somebody else holds it.
    fn acquire(&self, name: &str, holder: Uuid, now: Millis, until: Millis) -> Answer<bool>;
    /// Gives it back.
    fn release(&self, name: &str, holder: Uuid) -> Answer<()>;
}

/// Looking after the store.
pub trait Upkeep {
    /// Deletes what has expired by `now`, in small steps, for at most `limit`; tokens are kept `retain`
    /// longer. Blocks: not for workers. How much was deleted, by table.
    fn sweep(
        &self,
        now: Millis,
        retain: Duration,
        limit: Duration,
    ) -> Result<Vec<(&'static str, u64)>, StoreError>;
    /// How many rows each table has, for `/status` and metrics.
    fn rows(&self) -> Answer<Vec<(&'static str, u64)>>;
    /// A short text for people: what it is and where.
    fn describe(&self) -> String;
}

/// Everything an authorization server keeps.
pub trait Store:
    Clients
    + Consumers
    + Codes
    + Tokens
    + Interactions
    + Replay
    + Revocations
    + Keys
    + Consents
    + Users
    + Audit
    + Leases
    + Upkeep
    + fmt::Debug
    + Send
    + Sync
{
}
