//! Device codes, handles, consents, users.

use super::clients::{Conditions, page};
use super::rows::{Id, Json, execute, find, insert};
use super::tokens::{issue, revoke_subject};
use super::{Sqlite, conflict};
use crate::store::page::{Listing, Page};
use crate::store::{
    Answer, Consent, Consents, Cut, DeviceCode, DevicePoll, DeviceState, Digest, Handle,
    HandleKind, Interactions, Issue, Millis, StoreError, UserAccount, Users,
};
use rusqlite::params;
use std::time::Duration;
use uuid::Uuid;

/// What `slow_down` adds to the interval (RFC 8628 §3.5).
const SLOWER: u32 = 5;

impl Interactions for Sqlite {
    fn add_device(&self, device: DeviceCode) -> Answer<()> {
        self.engine.write(move |write| {
            insert!(write.connection, "INSERT", "device_code", {
                hash: device.hash,
                user_code: device.user_code,
                server: device.server,
                client_key: Id(device.client_key),
                client_id: device.client_id,
                scope: Json(&device.scope),
                resources: Json(&device.resources),
                state: device.state,
                subject: device.subject,
                details: Json(&device.details),
                interval: device.interval,
                last_poll: device.last_poll,
                expires_at: device.expires_at,
            })
            .map_err(|error| conflict(error, "device code", &["user_code", "hash"]))?;
            Ok(())
        })
    }

    fn device_by_user_code(&self, user_code: Digest) -> Answer<Option<DeviceCode>> {
        self.engine
            .read(move |connection| find(connection, "user_code = ?", [user_code]))
    }

    fn decide_device(&self, device: DeviceCode, now: Millis) -> Answer<bool> {
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "UPDATE device_code SET state = ?, subject = ?, details = ?, scope = ? \
                 WHERE hash = ? AND state = 'pending' AND expires_at > ?",
                params![
                    device.state,
                    device.subject,
                    Json(&device.details),
                    Json(&device.scope),
                    device.hash,
                    now
                ],
            )?;
            Ok(changed > 0)
        })
    }

    fn poll_device(&self, hash: Digest, client_key: Uuid, now: Millis) -> Answer<DevicePoll> {
        self.engine.write(move |write| {
            let found: Option<DeviceCode> = find(write.connection, "hash = ?", [hash])?;
            let Some(device) = found.filter(|device| device.client_key == client_key) else {
                return Ok(DevicePoll::Unknown);
            };
            if device.expires_at <= now {
                return Ok(DevicePoll::Expired);
            }
            match device.state {
                DeviceState::Used => return Ok(DevicePoll::Unknown),
                DeviceState::Denied => return Ok(DevicePoll::Denied),
                DeviceState::Approved => return Ok(DevicePoll::Approved(Box::new(device))),
                DeviceState::Pending => {}
            }
            let wait = Duration::from_secs(device.interval.into());
            let early = device.last_poll.is_some_and(|last| now < last.plus(wait));
            let interval = device.interval + if early { SLOWER } else { 0 };
            execute(
                write.connection,
                "UPDATE device_code SET last_poll = ?, interval = ? WHERE hash = ?",
                (now, interval, hash),
            )?;
            Ok(if early {
                DevicePoll::SlowDown
            } else {
                DevicePoll::Pending
            })
        })
    }

    fn use_device(&self, hash: Digest, now: Millis, tokens: Issue) -> Answer<bool> {
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "UPDATE device_code SET state = 'used' \
                 WHERE hash = ? AND state = 'approved' AND expires_at > ?",
                (hash, now),
            )?;
            if changed == 0 {
                return Ok(false);
            }
            issue(write, &tokens)?;
            Ok(true)
        })
    }

    fn put_handle(&self, handle: Handle) -> Answer<()> {
        self.engine.write(move |write| {
            insert!(write.connection, "INSERT OR REPLACE", "handle", {
                kind: handle.kind,
                hash: handle.hash,
                payload: handle.payload,
                subject: handle.subject,
                expires_at: handle.expires_at,
            })?;
            Ok(())
        })
    }

    fn handle(&self, kind: HandleKind, hash: Digest) -> Answer<Option<Handle>> {
        self.engine
            .read(move |connection| find(connection, "kind = ? AND hash = ?", (kind, hash)))
    }

    fn take_handle(&self, kind: HandleKind, hash: Digest) -> Answer<Option<Handle>> {
        self.engine.write(move |write| {
            let found = find(write.connection, "kind = ? AND hash = ?", (kind, hash))?;
            let sql = "DELETE FROM handle WHERE kind = ? AND hash = ?";
            execute(write.connection, sql, (kind, hash))?;
            Ok(found)
        })
    }

    fn end_sessions(&self, subject: &str) -> Answer<u64> {
        let subject = subject.to_owned();
        self.engine.write(move |write| {
            let sql = "DELETE FROM handle WHERE kind = 'login_session' AND subject = ?";
            Ok(execute(write.connection, sql, [subject])? as u64)
        })
    }
}

impl Consents for Sqlite {
    fn consent(&self, subject: &str, client_key: Uuid) -> Answer<Option<Consent>> {
        let key = (subject.to_owned(), Id(client_key));
        self.engine
            .read(move |connection| find(connection, "subject = ? AND client_key = ?", key))
    }

    fn put_consent(&self, consent: Consent) -> Answer<()> {
        self.engine.write(move |write| {
            insert!(write.connection, "INSERT OR REPLACE", "consent", {
                subject: consent.subject,
                client_key: Id(consent.client_key),
                scope: Json(&consent.scope),
                resources: Json(&consent.resources),
                granted_at: consent.granted_at,
                expires_at: consent.expires_at,
            })?;
            Ok(())
        })
    }

    fn forget_consent(&self, subject: &str, client_key: Uuid) -> Answer<bool> {
        let key = (subject.to_owned(), Id(client_key));
        self.engine.write(move |write| {
            let sql = "DELETE FROM consent WHERE subject = ? AND client_key = ?";
            Ok(execute(write.connection, sql, key)? > 0)
        })
    }
}

impl Users for Sqlite {
    fn user(&self, username: &str) -> Answer<Option<UserAccount>> {
        let username = username.to_owned();
        self.engine
            .read(move |connection| find(connection, "username = ?", [username]))
    }

    fn user_by_id(&self, id: Uuid) -> Answer<Option<UserAccount>> {
        self.engine
            .read(move |connection| find(connection, "id = ?", [Id(id)]))
    }

    fn users(&self, at: Page) -> Answer<Listing<UserAccount>> {
        self.engine.read(move |connection| {
            page(
                connection,
                Conditions::default(),
                at,
                |user: &UserAccount| user.id,
            )
        })
    }

    fn create_user(&self, user: UserAccount) -> Answer<()> {
        self.engine.write(move |write| {
            insert!(write.connection, "INSERT", "user_account", {
                id: Id(user.id),
                username: user.username,
                password: user.password,
                claims: Json(&user.claims),
                enabled: user.enabled,
                failed: user.failed,
                locked_until: user.locked_until,
                created_at: user.created_at,
                updated_at: user.updated_at,
            })
            .map_err(|error| conflict(error, "user", &["username", "id"]))?;
            Ok(())
        })
    }

    fn update_user(&self, user: UserAccount) -> Answer<()> {
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "UPDATE user_account SET username = ?, password = ?, claims = ?, enabled = ?, \
                 failed = ?, locked_until = ?, updated_at = ? WHERE id = ?",
                params![
                    user.username,
                    user.password,
                    Json(&user.claims),
                    user.enabled,
                    user.failed,
                    user.locked_until,
                    user.updated_at,
                    Id(user.id)
                ],
            )
            .map_err(|error| conflict(error, "user", &["username"]))?;
            if changed == 0 {
                return Err(StoreError::Missing("user"));
            }
            Ok(())
        })
    }

    fn delete_user(&self, id: Uuid, servers: Vec<String>, cut: Cut) -> Answer<bool> {
        self.engine.write(move |write| {
            let user: Option<UserAccount> = find(write.connection, "id = ?", [Id(id)])?;
            let Some(user) = user else {
                return Ok(false);
            };
            revoke_subject(write, &user.username, &servers, &cut)?;
            let sql = "DELETE FROM user_account WHERE id = ?";
            Ok(execute(write.connection, sql, [Id(id)])? > 0)
        })
    }

    fn login_failed(
        &self,
        id: Uuid,
        now: Millis,
        most: u32,
        lockout: Duration,
    ) -> Answer<Option<UserAccount>> {
        self.engine.write(move |write| {
            execute(
                write.connection,
                "UPDATE user_account SET \
                   failed = CASE WHEN failed + 1 >= ?2 THEN 0 ELSE failed + 1 END, \
                   locked_until = CASE WHEN failed + 1 >= ?2 THEN ?3 ELSE locked_until END \
                 WHERE id = ?1",
                (Id(id), most, now.plus(lockout)),
            )?;
            find(write.connection, "id = ?", [Id(id)])
        })
    }

    fn login_succeeded(&self, id: Uuid) -> Answer<()> {
        self.engine.write(move |write| {
            let sql = "UPDATE user_account SET failed = 0, locked_until = NULL \
                       WHERE id = ? AND (failed > 0 OR locked_until IS NOT NULL)";
            execute(write.connection, sql, [Id(id)]).map(|_| ())
        })
    }
}
