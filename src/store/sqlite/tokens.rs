//! Codes, families, tokens.

use super::clients::{Conditions, blob, page};
use super::operations::log_revocation;
use super::rows::{Id, Json, execute, find, insert, select};
use super::{Sqlite, Write, conflict};
use crate::store::cache::Known;
use crate::store::page::{Listing, Page, TokenFilter};
use crate::store::{
    AccessToken, Answer, AuthorizationCode, Client, CodeUse, Codes, Cut, Digest, GrantFamily,
    Issue, ListedToken, Millis, RefreshState, RefreshToken, RevocationKind, Rotate, Rotation,
    StoreError, StoredRefresh, Tokens,
};
use rusqlite::{Connection, ToSql, params};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A presentation of a rotated token this soon after the rotation may be a network retry.
const RETRY: Duration = Duration::from_secs(1);
/// How long the entry of an opaque token stays in the revocation log: its row is gone, and caches
/// hold it no longer than this, also while the store is down.
const CACHED: Duration = Duration::from_secs(15 * 60);

pub(super) fn issue(write: &mut Write<'_>, issue: &Issue) -> Result<(), StoreError> {
    if let Some(family) = &issue.family {
        insert!(write.connection, "INSERT", "grant_family", {
            id: Id(family.id),
            server: family.server,
            client_key: Id(family.client_key),
            client_id: family.client_id,
            subject: family.subject,
            scope: Json(&family.scope),
            resources: Json(&family.resources),
            details: Json(&family.details),
            created_at: family.created_at,
            expires_at: family.expires_at,
            revoked_at: family.revoked_at,
        })?;
    }
    if let Some(token) = &issue.access {
        insert_access(write, token)?;
    }
    if let Some(token) = &issue.refresh {
        insert_refresh(write.connection, token)?;
    }
    Ok(())
}

fn insert_access(write: &mut Write<'_>, token: &AccessToken) -> Result<(), StoreError> {
    insert!(write.connection, "INSERT", "access_token", {
        hash: token.hash,
        id: Id(token.id),
        server: token.server,
        client_key: Id(token.client_key),
        client_id: token.client_id,
        family: token.family.map(Id),
        refresh: token.refresh.map(Id),
        subject: token.subject,
        scope: Json(&token.scope),
        audience: Json(&token.audience),
        confirmation: token.confirmation.as_ref().map(Json),
        claims: Json(&token.claims),
        service: token.service,
        sealed: token.sealed,
        preview: token.preview,
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
    })
    .map_err(|error| conflict(error, "token", &["hash", "id"]))?;
    write.changed.push(token.hash);
    Ok(())
}

fn insert_refresh(connection: &Connection, token: &RefreshToken) -> Result<(), StoreError> {
    insert!(connection, "INSERT", "refresh_token", {
        hash: token.hash,
        id: Id(token.id),
        family: Id(token.family),
        parent: token.parent.map(Id),
        state: token.state,
        successor: token.successor,
        rotated_at: token.rotated_at,
        grace_uses: token.grace_uses,
        access: token.access,
        confirmation: token.confirmation.as_ref().map(Json),
        sealed: token.sealed,
        preview: token.preview,
        issued_at: token.issued_at,
        expires_at: token.expires_at,
    })
    .map_err(|error| conflict(error, "refresh token", &["hash", "id", "parent"]))?;
    Ok(())
}

fn expired(end: Option<Millis>, now: Millis) -> bool {
    end.is_some_and(|end| end <= now)
}

/// Ends a family; whether it was there and alive.
fn end_family(
    write: &mut Write<'_>,
    family: Uuid,
    server: &str,
    cut: &Cut,
) -> Result<bool, StoreError> {
    let changed = execute(
        write.connection,
        "UPDATE grant_family SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
        (cut.at, Id(family)),
    )?;
    if changed == 0 {
        return Ok(false);
    }
    execute(
        write.connection,
        "UPDATE refresh_token SET state = 'revoked', successor = NULL, sealed = NULL \
         WHERE family = ?",
        [Id(family)],
    )?;
    end_rows(write, "family = ?", Id(family))?;
    log_revocation(
        write,
        cut.entry(RevocationKind::Grant, family.to_string(), server),
    )?;
    Ok(true)
}

/// Ends everything that was issued to a client: its JWTs by the log, its rows here and now.
pub(super) fn revoke_client(
    write: &mut Write<'_>,
    client: &Client,
    cut: &Cut,
) -> Result<(), StoreError> {
    log_revocation(
        write,
        cut.entry(RevocationKind::Client, &client.client_id, &client.server),
    )?;
    end_rows(write, "client_key = ?", Id(client.id))?;
    let key = [Id(client.id)];
    for sql in [
        "DELETE FROM grant_family WHERE client_key = ?",
        "DELETE FROM authorization_code WHERE client_key = ?",
        "DELETE FROM device_code WHERE client_key = ?",
    ] {
        execute(write.connection, sql, key)?;
    }
    Ok(())
}

/// Ends everything that was issued for a user.
pub(super) fn revoke_subject(
    write: &mut Write<'_>,
    subject: &str,
    servers: &[String],
    cut: &Cut,
) -> Result<(), StoreError> {
    for server in servers {
        log_revocation(write, cut.entry(RevocationKind::Subject, subject, server))?;
    }
    end_rows(write, "subject = ?", subject)?;
    for sql in [
        "DELETE FROM grant_family WHERE subject = ?",
        "DELETE FROM authorization_code WHERE subject = ?",
        "DELETE FROM device_code WHERE subject = ?",
        "DELETE FROM handle WHERE subject = ?",
        "DELETE FROM consent WHERE subject = ?",
    ] {
        execute(write.connection, sql, [subject])?;
    }
    Ok(())
}

/// Deletes access tokens.
fn end_rows(write: &mut Write<'_>, condition: &str, value: impl ToSql) -> Result<(), StoreError> {
    let sql = format!("DELETE FROM access_token WHERE {condition} RETURNING hash");
    let mut statement = write.connection.prepare_cached(&sql)?;
    let hashes = statement.query_map([value], |row| row.get(0))?;
    for hash in hashes {
        write.changed.push(hash?);
    }
    Ok(())
}

/// Ends one access token by its id or `jti`.
fn end_access(write: &mut Write<'_>, jti: &str, server: &str, cut: &Cut) -> Result<(), StoreError> {
    let mut entry = cut.entry(RevocationKind::Jti, jti, server);
    if let Ok(id) = Uuid::try_parse(jti) {
        let sql = "DELETE FROM access_token WHERE id = ?";
        if let Some(token) = find::<AccessToken>(write.connection, "id = ?", [Id(id)])? {
            write.changed.push(token.hash);
            execute(write.connection, sql, [Id(id)])?;
            entry.expires_at = cut.at.plus(CACHED);
        }
    }
    log_revocation(write, entry)
}

impl Codes for Sqlite {
    fn add_code(&self, code: AuthorizationCode) -> Answer<()> {
        self.engine.write(move |write| {
            insert!(write.connection, "INSERT", "authorization_code", {
                hash: code.hash,
                server: code.server,
                client_key: Id(code.client_key),
                client_id: code.client_id,
                family: Id(code.family),
                subject: code.subject,
                redirect_uri: code.redirect_uri,
                redirect_sent: code.redirect_sent,
                scope: Json(&code.scope),
                resources: Json(&code.resources),
                challenge: code.challenge,
                nonce: code.nonce,
                dpop_jkt: code.dpop_jkt,
                service: code.service,
                details: Json(&code.details),
                issued_at: code.issued_at,
                expires_at: code.expires_at,
                consumed_at: code.consumed_at,
            })?;
            Ok(())
        })
    }

    fn code(&self, hash: Digest) -> Answer<Option<AuthorizationCode>> {
        self.engine
            .read(move |connection| find(connection, "hash = ?", [hash]))
    }

    fn use_code(&self, hash: Digest, now: Millis, tokens: Issue) -> Answer<CodeUse> {
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "UPDATE authorization_code SET consumed_at = ?1 \
                 WHERE hash = ?2 AND consumed_at IS NULL AND expires_at > ?1",
                (now, hash),
            )?;
            if changed > 0 {
                issue(write, &tokens)?;
                return Ok(CodeUse::Used);
            }
            let code: Option<AuthorizationCode> = find(write.connection, "hash = ?", [hash])?;
            Ok(match code {
                Some(code) if code.consumed_at.is_some() => CodeUse::Replayed {
                    family: code.family,
                },
                Some(_) | None => CodeUse::Unknown,
            })
        })
    }
}

const NOT_ROTATED: &str = "state = 'active' AND hash = ?";

fn rotate(write: &mut Write<'_>, request: &Rotate) -> Result<Rotation, StoreError> {
    let connection = write.connection;
    let Some(token) = find::<RefreshToken>(connection, "hash = ?", [request.hash])? else {
        return Ok(Rotation::Unknown);
    };
    let family: Option<GrantFamily> = find(connection, "id = ?", [Id(token.family)])?;
    let Some(family) = family.filter(|family| family.revoked_at.is_none()) else {
        return Ok(Rotation::Unknown);
    };
    if expired(token.expires_at, request.now) || expired(family.expires_at, request.now) {
        return Ok(Rotation::Unknown);
    }
    match token.state {
        RefreshState::Revoked => Ok(Rotation::Unknown),
        RefreshState::Active => {
            let keep = (!request.grace.is_zero()).then_some(&request.successor_sealed);
            execute(
                connection,
                &format!(
                    "UPDATE refresh_token SET state = 'rotated', successor = ?, rotated_at = ?, \
                     sealed = NULL WHERE {NOT_ROTATED}"
                ),
                (keep, request.now, request.hash),
            )?;
            if let (Some(cut), Some(access)) = (&request.invalidate_access, &token.access) {
                end_access(write, access, &family.server, cut)?;
            }
            if let Some(access) = &request.access {
                insert_access(write, access)?;
            }
            insert_refresh(connection, &request.successor)?;
            Ok(Rotation::Rotated)
        }
        RefreshState::Rotated => replay(write, request, &token, &family),
    }
}

/// A rotated token is shown again.
fn replay(
    write: &mut Write<'_>,
    request: &Rotate,
    token: &RefreshToken,
    family: &GrantFamily,
) -> Result<Rotation, StoreError> {
    let since = token.rotated_at.unwrap_or_default();
    let in_grace = request.now < since.plus(request.grace);
    if let Some(successor) = &token.successor
        && in_grace
        && token.grace_uses < request.grace_uses
    {
        let sql = "UPDATE refresh_token SET grace_uses = grace_uses + 1 WHERE hash = ?";
        execute(write.connection, sql, [request.hash])?;
        if let Some(access) = &request.access {
            let access = AccessToken {
                refresh: None,
                ..access.clone()
            };
            insert_access(write, &access)?;
        }
        return Ok(Rotation::Replayed {
            successor: successor.clone(),
        });
    }
    let retry = request.grace.is_zero() && request.now <= since.plus(RETRY);
    let revoked = match &request.revoke_on_reuse {
        Some(cut) if !retry => end_family(write, family.id, &family.server, cut)?,
        Some(_) | None => false,
    };
    Ok(Rotation::Reused {
        family: family.id,
        revoked,
    })
}

fn token_conditions(filter: TokenFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(hash) = filter.access {
        conditions.and("hash = ?", [hash.0.to_vec().into()]);
    }
    if let Some(hash) = filter.refresh {
        conditions.and(
            "refresh = (SELECT id FROM refresh_token WHERE hash = ?)",
            [hash.0.to_vec().into()],
        );
    }
    if let Some(keys) = filter.client_keys {
        let places = vec!["?"; keys.len()].join(", ");
        conditions.and(
            &format!("client_key IN ({places})"),
            keys.into_iter().map(blob),
        );
    }
    conditions.equal("client_id", filter.client_id);
    conditions.equal("subject", filter.subject);
    if let Some(scope) = filter.scope {
        conditions.and(
            "EXISTS (SELECT 1 FROM json_each(scope) WHERE value = ?)",
            [scope.into()],
        );
    }
    if let Some((active, now)) = filter.active {
        let alive = "(revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?))";
        let not = if active { "" } else { "NOT " };
        conditions.and(&format!("{not}{alive}"), [now.0.into()]);
    }
    conditions
}

fn with_refresh(connection: &Connection, access: AccessToken) -> Result<ListedToken, StoreError> {
    let refresh = match access.refresh {
        Some(id) => find(connection, "id = ?", [Id(id)])?,
        None => None,
    };
    Ok(ListedToken { access, refresh })
}

impl Tokens for Sqlite {
    fn issue(&self, tokens: Issue) -> Answer<()> {
        self.engine.write(move |write| issue(write, &tokens))
    }

    fn access_token(&self, hash: Digest) -> Answer<Option<Arc<AccessToken>>> {
        match self.known.get(&hash) {
            Some(Known::Token(token)) => return Answer::ready(Ok(Some(token))),
            Some(Known::Nothing) => return Answer::ready(Ok(None)),
            None => {}
        }
        let known = Arc::clone(&self.known);
        self.engine.read(move |connection| {
            let changes = known.changes();
            let token = find::<AccessToken>(connection, "hash = ?", [hash])?.map(Arc::new);
            known.put(hash, token.as_ref(), changes);
            Ok(token)
        })
    }

    fn refresh_token(&self, hash: Digest) -> Answer<Option<StoredRefresh>> {
        self.engine.read(move |connection| {
            let Some(token) = find::<RefreshToken>(connection, "hash = ?", [hash])? else {
                return Ok(None);
            };
            let family: Option<GrantFamily> = find(connection, "id = ?", [Id(token.family)])?;
            Ok(family.map(|family| StoredRefresh { token, family }))
        })
    }

    fn rotate(&self, request: Rotate) -> Answer<Rotation> {
        self.engine.write(move |write| rotate(write, &request))
    }

    fn keep_refresh(
        &self,
        hash: Digest,
        now: Millis,
        expires_at: Option<Millis>,
        access: Option<AccessToken>,
        invalidate_access: Option<Cut>,
    ) -> Answer<bool> {
        self.engine.write(move |write| {
            let found: Option<RefreshToken> = find(write.connection, NOT_ROTATED, [hash])?;
            let Some(token) = found.filter(|token| !expired(token.expires_at, now)) else {
                return Ok(false);
            };
            let family: Option<GrantFamily> = find(write.connection, "id = ?", [Id(token.family)])?;
            let Some(family) = family.filter(|family| family.revoked_at.is_none()) else {
                return Ok(false);
            };
            if let (Some(cut), Some(old)) = (&invalidate_access, &token.access) {
                end_access(write, old, &family.server, cut)?;
            }
            let jti = access.as_ref().map(|access| access.id.to_string());
            execute(
                write.connection,
                "UPDATE refresh_token SET expires_at = ?, access = coalesce(?, access) \
                 WHERE hash = ?",
                (expires_at, jti, hash),
            )?;
            if let Some(access) = &access {
                insert_access(write, access)?;
            }
            Ok(true)
        })
    }

    fn family(&self, id: Uuid) -> Answer<Option<GrantFamily>> {
        self.engine
            .read(move |connection| find(connection, "id = ?", [Id(id)]))
    }

    fn families(
        &self,
        subject: Option<String>,
        client_key: Option<Uuid>,
        at: Page,
    ) -> Answer<Listing<GrantFamily>> {
        self.engine.read(move |connection| {
            let mut conditions = Conditions::default();
            conditions.equal("subject", subject);
            conditions.equal("client_key", client_key.map(blob));
            page(connection, conditions, at, |family: &GrantFamily| family.id)
        })
    }

    fn refresh_tokens(&self, family: Uuid) -> Answer<Vec<RefreshToken>> {
        self.engine.read(move |connection| {
            select(connection, "WHERE family = ? ORDER BY id", [Id(family)])
        })
    }

    fn revoke_family(&self, family: Uuid, server: &str, cut: Cut) -> Answer<bool> {
        let server = server.to_owned();
        self.engine
            .write(move |write| end_family(write, family, &server, &cut))
    }

    fn revoke_access(&self, id: Uuid, cut: Cut) -> Answer<bool> {
        self.engine.write(move |write| {
            let token: Option<AccessToken> = find(write.connection, "id = ?", [Id(id)])?;
            let Some(token) = token else {
                return Ok(false);
            };
            end_access(write, &id.to_string(), &token.server, &cut)?;
            Ok(true)
        })
    }

    fn tokens(&self, filter: TokenFilter, at: Page) -> Answer<Listing<ListedToken>> {
        self.engine.read(move |connection| {
            let listing = page(
                connection,
                token_conditions(filter),
                at,
                |token: &AccessToken| token.id,
            )?;
            let items = listing
                .items
                .into_iter()
                .map(|access| with_refresh(connection, access));
            Ok(Listing {
                items: items.collect::<Result<_, _>>()?,
                next: listing.next,
                total: listing.total,
            })
        })
    }

    fn token_by_id(&self, id: Uuid) -> Answer<Option<ListedToken>> {
        self.engine.read(move |connection| {
            let token: Option<AccessToken> = find(connection, "id = ?", [Id(id)])?;
            token
                .map(|access| with_refresh(connection, access))
                .transpose()
        })
    }

    fn update_token(&self, token: AccessToken) -> Answer<()> {
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "UPDATE access_token SET expires_at = ?, scope = ?, subject = ? WHERE id = ?",
                params![
                    token.expires_at,
                    Json(&token.scope),
                    token.subject,
                    Id(token.id)
                ],
            )?;
            if changed == 0 {
                return Err(StoreError::Missing("token"));
            }
            if let Some(family) = token.family {
                execute(
                    write.connection,
                    "UPDATE grant_family SET scope = ?, subject = ? WHERE id = ?",
                    params![Json(&token.scope), token.subject, Id(family)],
                )?;
            }
            write.changed.push(token.hash);
            Ok(())
        })
    }

    fn revoke_tokens(&self, filter: TokenFilter, cut: Cut) -> Answer<u64> {
        self.engine.write(move |write| {
            let conditions = token_conditions(filter);
            let tokens: Vec<AccessToken> = select(
                write.connection,
                conditions.text(),
                &conditions.values()[..],
            )?;
            for token in &tokens {
                end_access(write, &token.id.to_string(), &token.server, &cut)?;
                if let Some(family) = token.family {
                    end_family(write, family, &token.server, &cut)?;
                }
            }
            Ok(tokens.len() as u64)
        })
    }
}
