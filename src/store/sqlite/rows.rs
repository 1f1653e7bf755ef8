//! Records as rows.

use super::failed;
use crate::store::{
    AccessToken, AuditEntry, AuthorizationCode, Client, ClientSecret, Consent, Consumer,
    DeviceCode, DeviceState, Digest, GrantFamily, Handle, HandleKind, KeyState, Millis,
    RefreshState, RefreshToken, Revocation, RevocationKind, Sealed, Source, StoreError, StoredKey,
    UserAccount,
};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

impl ToSql for Millis {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for Millis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0[..]))
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(Self)
    }
}

impl ToSql for Sealed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0[..]))
    }
}

impl FromSql for Sealed {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob().map(|bytes| Self(bytes.to_vec()))
    }
}

/// A UUID as 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0.as_bytes()[..]))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

/// Anything that is kept as JSON text.
#[derive(Clone, Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(ToSqlOutput::from)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(error.into()))
    }
}

macro_rules! names {
    ($type:ident: $($variant:ident = $name:literal),* $(,)?) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(match self { $(Self::$variant => $name,)* }))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                match value.as_str()? {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(FromSqlError::InvalidType),
                }
            }
        }
    };
}

names!(Source: Db = "db", Hcl = "hcl", Import = "import", Registration = "registration");
names!(RefreshState: Active = "active", Rotated = "rotated", Revoked = "revoked");
names!(DeviceState: Pending = "pending", Approved = "approved", Denied = "denied", Used = "used");
names!(KeyState: Next = "next", Active = "active", Retired = "retired");
names!(RevocationKind: Issuer = "issuer", Client = "client", Subject = "subject", Grant = "grant", Jti = "jti");
names!(HandleKind: PushedRequest = "pushed_request", Interaction = "interaction", LoginSession = "login_session");

/// A record that is a row of one table.
pub(super) trait Record: Sized {
    /// The table.
    const TABLE: &'static str;
    /// Its columns, in the order of `read`.
    const COLUMNS: &'static str;
    /// From a row of these columns.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self>;
}

/// The first row of a table that fulfils a condition.
pub(super) fn find<R: Record>(
    connection: &Connection,
    condition: &str,
    params: impl Params,
) -> Result<Option<R>, StoreError> {
    Ok(select::<R>(connection, &format!("WHERE {condition} LIMIT 1"), params)?.pop())
}

/// All rows of a table that fulfil a condition; `rest` is what follows `FROM`.
pub(super) fn select<R: Record>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<Vec<R>, StoreError> {
    let sql = format!("SELECT {} FROM {} {rest}", R::COLUMNS, R::TABLE);
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let rows = statement.query_map(params, R::read).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// Runs one statement; how many rows it changed.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.execute(params).map_err(failed)
}

/// Adds a row; `$name = value` pairs are the columns.
macro_rules! insert {
    ($connection:expr, $verb:literal, $table:literal, { $($column:ident: $value:expr),* $(,)? }) => {{
        const COLUMNS: &[&str] = &[$(stringify!($column)),*];
        static SQL: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            let places = vec!["?"; COLUMNS.len()].join(", ");
            format!("{} INTO {} ({}) VALUES ({places})", $verb, $table, COLUMNS.join(", "))
        });
        $crate::store::sqlite::rows::execute($connection, &SQL, rusqlite::params![$($value),*])
    }};
}
pub(super) use insert;

impl Record for Consumer {
    const TABLE: &'static str = "consumer";
    const COLUMNS: &'static str =
        "id, username, custom_id, tags, groups, metadata, source, created_at, updated_at, version";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get::<_, Id>(0)?.0,
            username: row.get(1)?,
            custom_id: row.get(2)?,
            tags: row.get::<_, Json<_>>(3)?.0,
            groups: row.get::<_, Json<_>>(4)?.0,
            metadata: row.get::<_, Json<_>>(5)?.0,
            source: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
            version: row.get(9)?,
        })
    }
}

impl Record for Client {
    const TABLE: &'static str = "client";
    const COLUMNS: &'static str = "body, last_used_at, version";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            last_used_at: row.get(1)?,
            version: row.get(2)?,
            ..row.get::<_, Json<Self>>(0)?.0
        })
    }
}

impl Record for ClientSecret {
    const TABLE: &'static str = "client_secret";
    const COLUMNS: &'static str =
        "id, client, hash, sealed, generated, not_after, last_used_at, created_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get::<_, Id>(0)?.0,
            client: row.get::<_, Id>(1)?.0,
            hash: row.get(2)?,
            sealed: row.get(3)?,
            generated: row.get(4)?,
            not_after: row.get(5)?,
            last_used_at: row.get(6)?,
            created_at: row.get(7)?,
        })
    }
}

impl Record for UserAccount {
    const TABLE: &'static str = "user_account";
    const COLUMNS: &'static str =
        "id, username, password, claims, enabled, failed, locked_until, created_at, updated_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get::<_, Id>(0)?.0,
            username: row.get(1)?,
            password: row.get(2)?,
            claims: row.get::<_, Json<_>>(3)?.0,
            enabled: row.get(4)?,
            failed: row.get(5)?,
            locked_until: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
        })
    }
}

impl Record for GrantFamily {
    const TABLE: &'static str = "grant_family";
    const COLUMNS: &'static str = "id, server, client_key, client_id, subject, scope, resources, \
         details, created_at, expires_at, revoked_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get::<_, Id>(0)?.0,
            server: row.get(1)?,
            client_key: row.get::<_, Id>(2)?.0,
            client_id: row.get(3)?,
            subject: row.get(4)?,
            scope: row.get::<_, Json<_>>(5)?.0,
            resources: row.get::<_, Json<_>>(6)?.0,
            details: row.get::<_, Json<_>>(7)?.0,
            created_at: row.get(8)?,
            expires_at: row.get(9)?,
            revoked_at: row.get(10)?,
        })
    }
}

impl Record for AuthorizationCode {
    const TABLE: &'static str = "authorization_code";
    const COLUMNS: &'static str = "hash, server, client_key, client_id, family, subject, \
         redirect_uri, redirect_sent, scope, resources, challenge, nonce, dpop_jkt, service, \
         details, issued_at, expires_at, consumed_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            hash: row.get(0)?,
            server: row.get(1)?,
            client_key: row.get::<_, Id>(2)?.0,
            client_id: row.get(3)?,
            family: row.get::<_, Id>(4)?.0,
            subject: row.get(5)?,
            redirect_uri: row.get(6)?,
            redirect_sent: row.get(7)?,
            scope: row.get::<_, Json<_>>(8)?.0,
            resources: row.get::<_, Json<_>>(9)?.0,
            challenge: row.get(10)?,
            nonce: row.get(11)?,
            dpop_jkt: row.get(12)?,
            service: row.get(13)?,
            details: row.get::<_, Json<_>>(14)?.0,
            issued_at: row.get(15)?,
            expires_at: row.get(16)?,
            consumed_at: row.get(17)?,
        })
    }
}

impl Record for AccessToken {
    const TABLE: &'static str = "access_token";
    const COLUMNS: &'static str = "hash, id, server, client_key, client_id, family, refresh, \
         subject, scope, audience, confirmation, claims, service, sealed, preview, issued_at, \
         expires_at, revoked_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            hash: row.get(0)?,
            id: row.get::<_, Id>(1)?.0,
            server: row.get(2)?,
            client_key: row.get::<_, Id>(3)?.0,
            client_id: row.get(4)?,
            family: row.get::<_, Option<Id>>(5)?.map(|id| id.0),
            refresh: row.get::<_, Option<Id>>(6)?.map(|id| id.0),
            subject: row.get(7)?,
            scope: row.get::<_, Json<_>>(8)?.0,
            audience: row.get::<_, Json<_>>(9)?.0,
            confirmation: row.get::<_, Option<Json<_>>>(10)?.map(|json| json.0),
            claims: row.get::<_, Json<_>>(11)?.0,
            service: row.get(12)?,
            sealed: row.get(13)?,
            preview: row.get(14)?,
            issued_at: row.get(15)?,
            expires_at: row.get(16)?,
            revoked_at: row.get(17)?,
        })
    }
}

impl Record for RefreshToken {
    const TABLE: &'static str = "refresh_token";
    const COLUMNS: &'static str = "hash, id, family, parent, state, successor, rotated_at, \
         grace_uses, access, confirmation, sealed, preview, issued_at, expires_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            hash: row.get(0)?,
            id: row.get::<_, Id>(1)?.0,
            family: row.get::<_, Id>(2)?.0,
            parent: row.get::<_, Option<Id>>(3)?.map(|id| id.0),
            state: row.get(4)?,
            successor: row.get(5)?,
            rotated_at: row.get(6)?,
            grace_uses: row.get(7)?,
            access: row.get(8)?,
            confirmation: row.get::<_, Option<Json<_>>>(9)?.map(|json| json.0),
            sealed: row.get(10)?,
            preview: row.get(11)?,
            issued_at: row.get(12)?,
            expires_at: row.get(13)?,
        })
    }
}

impl Record for DeviceCode {
    const TABLE: &'static str = "device_code";
    const COLUMNS: &'static str = "hash, user_code, server, client_key, client_id, scope, \
         resources, state, subject, details, interval, last_poll, expires_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            hash: row.get(0)?,
            user_code: row.get(1)?,
            server: row.get(2)?,
            client_key: row.get::<_, Id>(3)?.0,
            client_id: row.get(4)?,
            scope: row.get::<_, Json<_>>(5)?.0,
            resources: row.get::<_, Json<_>>(6)?.0,
            state: row.get(7)?,
            subject: row.get(8)?,
            details: row.get::<_, Json<_>>(9)?.0,
            interval: row.get(10)?,
            last_poll: row.get(11)?,
            expires_at: row.get(12)?,
        })
    }
}

impl Record for Handle {
    const TABLE: &'static str = "handle";
    const COLUMNS: &'static str = "kind, hash, payload, subject, expires_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            kind: row.get(0)?,
            hash: row.get(1)?,
            payload: row.get(2)?,
            subject: row.get(3)?,
            expires_at: row.get(4)?,
        })
    }
}

impl Record for Revocation {
    const TABLE: &'static str = "revocation";
    const COLUMNS: &'static str =
        "seq, kind, value, server, not_before, expires_at, actor, created_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            kind: row.get(1)?,
            value: row.get(2)?,
            server: row.get(3)?,
            not_before: row.get(4)?,
            expires_at: row.get(5)?,
            actor: row.get(6)?,
            created_at: row.get(7)?,
        })
    }
}

impl Record for StoredKey {
    const TABLE: &'static str = "signing_key";
    const COLUMNS: &'static str = "kid, server, label, algorithm, state, public_jwk, private, \
         not_before, retire_at, remove_at, created_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            kid: row.get(0)?,
            server: row.get(1)?,
            label: row.get(2)?,
            algorithm: row.get(3)?,
            state: row.get(4)?,
            public_jwk: row.get::<_, Json<_>>(5)?.0,
            private: row.get(6)?,
            not_before: row.get(7)?,
            retire_at: row.get(8)?,
            remove_at: row.get(9)?,
            created_at: row.get(10)?,
        })
    }
}

impl Record for Consent {
    const TABLE: &'static str = "consent";
    const COLUMNS: &'static str = "subject, client_key, scope, resources, granted_at, expires_at";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            subject: row.get(0)?,
            client_key: row.get::<_, Id>(1)?.0,
            scope: row.get::<_, Json<_>>(2)?.0,
            resources: row.get::<_, Json<_>>(3)?.0,
            granted_at: row.get(4)?,
            expires_at: row.get(5)?,
        })
    }
}

impl Record for AuditEntry {
    const TABLE: &'static str = "audit";
    const COLUMNS: &'static str = "seq, at, actor, action, target, detail, previous, hash";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            target: row.get(4)?,
            detail: row.get::<_, Json<_>>(5)?.0,
            previous: row.get(6)?,
            hash: row.get(7)?,
        })
    }
}
