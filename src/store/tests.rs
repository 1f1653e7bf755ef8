//! What every store does, run over each of them.

use super::sqlite::{Options, Sqlite};
use super::*;
use serde_json::Map;
use std::sync::Arc;

/// A file and memory; the folder lives as long as the store.
fn each(test: impl Fn(&dyn Store)) {
    test(&Sqlite::in_memory().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    test(&Sqlite::open(&Options::new(Some(path))).unwrap());
}

const NOW: Millis = Millis(1_800_000_000_000);

fn at(seconds: i64) -> Millis {
    Millis(NOW.0 + seconds * 1000)
}

fn cut(seconds: i64) -> Cut {
    Cut {
        at: at(seconds),
        until: at(seconds + 3600),
        actor: "test".into(),
    }
}

pub(super) fn consumer(username: &str) -> Consumer {
    Consumer {
        id: new_id(),
        username: Some(username.to_owned()),
        custom_id: None,
        tags: vec!["a".into(), "b".into()],
        groups: Vec::new(),
        metadata: Map::new(),
        source: Source::Db,
        created_at: NOW,
        updated_at: NOW,
        version: 0,
    }
}

pub(super) fn client(client_id: &str, consumer: Option<uuid::Uuid>) -> Client {
    Client {
        id: new_id(),
        server: "main".into(),
        client_id: client_id.to_owned(),
        consumer,
        name: "App".into(),
        scopes: Some(vec!["read".into()]),
        enabled: true,
        created_at: NOW,
        updated_at: NOW,
        ..Client::default()
    }
}

fn secret(client: uuid::Uuid, not_after: Option<Millis>) -> ClientSecret {
    ClientSecret {
        id: new_id(),
        client,
        hash: "sha256:00".into(),
        sealed: Some(Sealed(vec![1, 2, 3])),
        generated: true,
        not_after,
        last_used_at: None,
        created_at: NOW,
    }
}

fn family(subject: &str) -> GrantFamily {
    GrantFamily {
        id: new_id(),
        server: "main".into(),
        client_key: uuid::Uuid::from_u128(7),
        client_id: "app".into(),
        subject: Some(subject.to_owned()),
        scope: vec!["read".into(), "write".into()],
        created_at: NOW,
        expires_at: Some(at(10_000)),
        ..GrantFamily::default()
    }
}

pub(super) fn access(value: &str, family: Option<&GrantFamily>) -> AccessToken {
    AccessToken {
        hash: Digest::of(value),
        id: new_id(),
        server: "main".into(),
        client_key: uuid::Uuid::from_u128(7),
        client_id: "app".into(),
        family: family.map(|family| family.id),
        refresh: None,
        subject: family.and_then(|family| family.subject.clone()),
        scope: vec!["read".into()],
        audience: vec!["api".into()],
        confirmation: None,
        claims: Map::new(),
        service: None,
        sealed: None,
        preview: String::new(),
        issued_at: NOW,
        expires_at: Some(at(3600)),
        revoked_at: None,
    }
}

fn refresh(value: &str, family: &GrantFamily, parent: Option<&RefreshToken>) -> RefreshToken {
    RefreshToken {
        hash: Digest::of(value),
        id: new_id(),
        family: family.id,
        parent: parent.map(|parent| parent.id),
        state: RefreshState::Active,
        successor: None,
        rotated_at: None,
        grace_uses: 0,
        access: None,
        confirmation: None,
        sealed: None,
        preview: String::new(),
        issued_at: NOW,
        expires_at: Some(at(9000)),
    }
}

fn code(value: &str, family: &GrantFamily) -> AuthorizationCode {
    AuthorizationCode {
        hash: Some(Digest::of(value)),
        server: "main".into(),
        client_key: family.client_key,
        client_id: family.client_id.clone(),
        family: family.id,
        subject: "alice".into(),
        redirect_uri: "https://app.example/cb".into(),
        scope: family.scope.clone(),
        issued_at: NOW,
        expires_at: at(60),
        ..AuthorizationCode::default()
    }
}

fn is_revoked(store: &dyn Store, token: &AccessToken) -> bool {
    let grant = token.family.map(|id| id.to_string());
    store.revoked().is_revoked(&TokenKeys {
        server: &token.server,
        client_id: &token.client_id,
        subject: token.subject.as_deref(),
        grant: grant.as_deref(),
        jti: &token.id.to_string(),
        issued: token.issued_at,
    })
}

#[test]
fn consumers_keep_what_they_are_given() {
    each(|store| {
        let bob = consumer("bob");
        store.create_consumer(bob.clone()).wait().unwrap();
        assert_eq!(store.consumer(bob.id).wait().unwrap(), Some(bob.clone()));
        let by_name = store.consumer_by_username("bob").wait().unwrap();
        assert_eq!(by_name, Some(bob.clone()));
        assert_eq!(store.consumer_by_username("BOB").wait().unwrap(), None);

        let twin = store.create_consumer(consumer("bob")).wait();
        let taken = StoreError::Conflict {
            entity: "consumer",
            field: "username",
        };
        assert_eq!(twin, Err(taken));

        let renamed = Consumer {
            username: None,
            custom_id: Some("b-1".into()),
            ..bob.clone()
        };
        let renamed = store.update_consumer(renamed).wait().unwrap();
        assert_eq!(renamed.version, 1);
        assert_eq!(store.update_consumer(bob).wait(), Err(StoreError::Stale));
        assert_eq!(store.delete_consumer(renamed.id, cut(0)).wait(), Ok(true));
        assert_eq!(store.delete_consumer(renamed.id, cut(0)).wait(), Ok(false));
    });
}

#[test]
fn lists_come_in_pages_and_by_tag() {
    each(|store| {
        for number in 0..5 {
            let mut consumer = consumer(&format!("user-{number}"));
            if number == 4 {
                consumer.tags = vec!["b".into(), "c".into()];
            }
            store.create_consumer(consumer).wait().unwrap();
        }
        let tagged = |tags| ConsumerFilter {
            tags: Some(tags),
            ..ConsumerFilter::default()
        };
        let list = |filter, page| store.consumers(filter, page).wait().unwrap();
        let first = list(ConsumerFilter::default(), Page::first(2));
        assert_eq!((first.items.len(), first.total), (2, Some(5)));
        let rest = Page {
            size: 3,
            after: first.next,
        };
        let rest = list(ConsumerFilter::default(), rest);
        assert_eq!(
            (rest.items.len(), rest.total, rest.next),
            (3, Some(5), None)
        );
        let total = |tags| list(tagged(tags), Page::first(10)).total;
        assert_eq!(total(TagFilter::All(vec!["a".into(), "b".into()])), Some(4));
        assert_eq!(total(TagFilter::Any(vec!["a".into(), "c".into()])), Some(5));
        assert_eq!(total(TagFilter::All(vec!["d".into()])), Some(0));
    });
}

#[test]
fn clients_and_their_secrets() {
    each(|store| {
        let orphan = client("app", Some(new_id()));
        let missing = Err(StoreError::Missing("consumer"));
        assert_eq!(store.create_client(orphan, Vec::new()).wait(), missing);

        let bob = consumer("bob");
        store.create_consumer(bob.clone()).wait().unwrap();
        let app = client("app", Some(bob.id));
        let first = secret(app.id, None);
        store
            .create_client(app.clone(), vec![first.clone()])
            .wait()
            .unwrap();
        let stored = store.client("main", "app").wait().unwrap().unwrap();
        assert_eq!(stored.client, app);
        assert_eq!(stored.secrets, std::slice::from_ref(&first));
        assert_eq!(store.client("other", "app").wait().unwrap(), None);
        let taken = StoreError::Conflict {
            entity: "client",
            field: "client_id",
        };
        let twin = store.create_client(client("app", None), Vec::new()).wait();
        assert_eq!(twin, Err(taken));

        let refused = |result| matches!(result, Err(StoreError::Refused(_)));
        assert!(refused(store.delete_secret(app.id, first.id, NOW).wait()));
        let second = secret(app.id, Some(at(10)));
        store.add_secret(second.clone(), 2).wait().unwrap();
        assert!(matches!(
            store.add_secret(secret(app.id, None), 2).wait(),
            Err(StoreError::Refused(_))
        ));
        // The second one has ended by then.
        assert!(refused(
            store.delete_secret(app.id, first.id, at(10)).wait()
        ));
        assert_eq!(
            store.delete_secret(app.id, first.id, at(9)).wait(),
            Ok(true)
        );

        store.rehash_secret(second.id, "new".into()).wait().unwrap();
        store
            .touch_client(app.id, Some(second.id), at(5))
            .wait()
            .unwrap();
        let stored = store.client_by_id(app.id).wait().unwrap().unwrap();
        assert_eq!(stored.client.last_used_at, Some(at(5)));
        assert_eq!(stored.secrets[0].hash, "new");
        assert_eq!(stored.secrets[0].last_used_at, Some(at(5)));

        let renamed = Client {
            name: "Other".into(),
            ..app
        };
        store.update_client(renamed.clone(), None).wait().unwrap();
        assert_eq!(
            store.update_client(renamed, None).wait(),
            Err(StoreError::Stale)
        );
        let named = ClientFilter {
            name: Some("Other".into()),
            consumer: Some(bob.id),
            ..ClientFilter::default()
        };
        let found = store.clients(named, Page::first(10)).wait().unwrap();
        assert_eq!(found.total, Some(1));
    });
}

#[test]
fn deleting_a_consumer_ends_its_clients_and_tokens() {
    each(|store| {
        let bob = consumer("bob");
        store.create_consumer(bob.clone()).wait().unwrap();
        let app = client("app", Some(bob.id));
        store.create_client(app.clone(), Vec::new()).wait().unwrap();
        let token = AccessToken {
            client_key: app.id,
            ..access("t", None)
        };
        let issue = Issue {
            access: Some(token.clone()),
            ..Issue::default()
        };
        store.issue(issue).wait().unwrap();
        assert!(!is_revoked(store, &token));
        store.delete_consumer(bob.id, cut(1)).wait().unwrap();
        assert!(is_revoked(store, &token));
        assert_eq!(store.access_token(token.hash).wait(), Ok(None));
        assert_eq!(store.client("main", "app").wait(), Ok(None));
    });
}

#[test]
fn a_code_is_used_once_however_many_ask() {
    each(|store| {
        let family = family("alice");
        store.add_code(code("c", &family)).wait().unwrap();
        let hash = Digest::of("c");
        let found = store.code(hash).wait().unwrap().unwrap();
        assert_eq!(found, code("c", &family));
        let answers: Vec<_> = (0..50)
            .map(|number| {
                let issue = Issue {
                    family: Some(family.clone()),
                    access: Some(access(&format!("t{number}"), Some(&family))),
                    refresh: Some(refresh(&format!("r{number}"), &family, None)),
                };
                store.use_code(hash, at(1), issue)
            })
            .collect();
        let results: Vec<_> = answers.into_iter().map(|a| a.wait().unwrap()).collect();
        let used = results
            .iter()
            .filter(|use_| **use_ == CodeUse::Used)
            .count();
        assert_eq!(used, 1);
        let replayed = CodeUse::Replayed { family: family.id };
        assert_eq!(results.iter().filter(|use_| **use_ == replayed).count(), 49);
        let all = store.tokens(TokenFilter::default(), Page::first(10)).wait();
        assert_eq!(all.unwrap().total, Some(1));

        store.add_code(code("late", &family)).wait().unwrap();
        let late = store.use_code(Digest::of("late"), at(60), Issue::default());
        assert_eq!(late.wait(), Ok(CodeUse::Unknown));
        let unknown = store.use_code(Digest::of("never"), NOW, Issue::default());
        assert_eq!(unknown.wait(), Ok(CodeUse::Unknown));
    });
}

#[test]
fn what_cannot_be_stored_uses_no_code() {
    each(|store| {
        let family = family("alice");
        store.add_code(code("c", &family)).wait().unwrap();
        // A refresh token without its family breaks the transaction.
        let broken = Issue {
            refresh: Some(refresh("r", &family, None)),
            ..Issue::default()
        };
        assert!(store.use_code(Digest::of("c"), NOW, broken).wait().is_err());
        let again = store.use_code(Digest::of("c"), NOW, Issue::default());
        assert_eq!(again.wait(), Ok(CodeUse::Used));
    });
}

/// A family with one refresh token, and requests to rotate it.
fn rotating(store: &dyn Store, grace: Duration) -> (GrantFamily, impl Fn(i64) -> Rotation) {
    let family = family("alice");
    let first = refresh("r1", &family, None);
    let issue = Issue {
        family: Some(family.clone()),
        access: Some(access("t1", Some(&family))),
        refresh: Some(first.clone()),
    };
    store.issue(issue).wait().unwrap();
    let of = family.clone();
    let rotate = move |seconds| {
        let value = new_id().to_string();
        let request = Rotate {
            hash: first.hash,
            now: at(seconds),
            grace,
            grace_uses: 2,
            successor: refresh(&value, &of, Some(&first)),
            successor_sealed: Sealed(value.clone().into_bytes()),
            access: Some(access(&format!("t-{value}"), Some(&of))),
            invalidate_access: None,
            revoke_on_reuse: Some(cut(seconds)),
        };
        store.rotate(request).wait().unwrap()
    };
    (family, rotate)
}

#[test]
fn a_rotated_token_yields_the_same_successor_for_a_while() {
    each(|store| {
        let (family, rotate) = rotating(store, Duration::from_secs(30));
        assert_eq!(rotate(0), Rotation::Rotated);
        let Rotation::Replayed { successor } = rotate(10) else {
            panic!("no replay");
        };
        assert_eq!(rotate(20), Rotation::Replayed { successor });
        let stored = store
            .refresh_token(Digest::of("r1"))
            .wait()
            .unwrap()
            .unwrap();
        assert_eq!(stored.token.state, RefreshState::Rotated);
        // One more than may be.
        let reused = Rotation::Reused {
            family: family.id,
            revoked: true,
        };
        assert_eq!(rotate(29), reused);
        assert_eq!(rotate(29), Rotation::Unknown);
        let family = store.family(family.id).wait().unwrap().unwrap();
        assert_eq!(family.revoked_at, Some(at(29)));
        assert_eq!(store.access_token(Digest::of("t1")).wait(), Ok(None));
        assert!(is_revoked(store, &access("t1", Some(&family))));
    });
}

#[test]
fn without_a_grace_a_retry_is_refused_and_a_replay_kills() {
    each(|store| {
        let (family, rotate) = rotating(store, Duration::ZERO);
        let reused = |revoked| Rotation::Reused {
            family: family.id,
            revoked,
        };
        assert_eq!(rotate(0), Rotation::Rotated);
        assert_eq!(rotate(1), reused(false));
        assert_eq!(rotate(2), reused(true));
    });
}

#[test]
fn a_refresh_token_that_stays() {
    each(|store| {
        let (family, _) = rotating(store, Duration::ZERO);
        let keep = |now, value: &str| {
            let token = access(value, Some(&family));
            store
                .keep_refresh(
                    Digest::of("r1"),
                    at(now),
                    Some(at(now + 100)),
                    Some(token),
                    None,
                )
                .wait()
        };
        assert_eq!(keep(0, "t2"), Ok(true));
        assert_eq!(keep(99, "t3"), Ok(true));
        assert_eq!(keep(200, "t4"), Ok(false));
        assert!(
            store
                .access_token(Digest::of("t3"))
                .wait()
                .unwrap()
                .is_some()
        );
    });
}

#[test]
fn tokens_are_found_changed_and_ended() {
    each(|store| {
        let alice = family("alice");
        let token = AccessToken {
            sealed: Some(Sealed(vec![9])),
            confirmation: Some(serde_json::json!({"jkt": "x"})),
            ..access("t", Some(&alice))
        };
        let issue = Issue {
            family: Some(alice),
            access: Some(token.clone()),
            refresh: None,
        };
        store.issue(issue).wait().unwrap();
        let other = Issue {
            access: Some(access("u", None)),
            ..Issue::default()
        };
        store.issue(other.clone()).wait().unwrap();
        let twin = store.issue(other).wait();
        assert!(matches!(
            twin,
            Err(StoreError::Conflict {
                field: "hash" | "id",
                ..
            })
        ));
        assert_eq!(
            store.access_token(token.hash).wait(),
            Ok(Some(Arc::new(token.clone())))
        );

        let total = |filter| store.tokens(filter, Page::first(10)).wait().unwrap().total;
        let none = TokenFilter::default;
        assert_eq!(total(none()), Some(2));
        let cases = [
            (
                TokenFilter {
                    subject: Some("alice".into()),
                    ..none()
                },
                1,
            ),
            (
                TokenFilter {
                    access: Some(Digest::of("u")),
                    ..none()
                },
                1,
            ),
            (
                TokenFilter {
                    client_id: Some("app".into()),
                    ..none()
                },
                2,
            ),
            (
                TokenFilter {
                    client_keys: Some(vec![new_id()]),
                    ..none()
                },
                0,
            ),
            (
                TokenFilter {
                    scope: Some("read".into()),
                    ..none()
                },
                2,
            ),
            (
                TokenFilter {
                    active: Some((true, at(3600))),
                    ..none()
                },
                0,
            ),
            (
                TokenFilter {
                    active: Some((false, at(3600))),
                    ..none()
                },
                2,
            ),
        ];
        for (filter, expected) in cases {
            assert_eq!(total(filter.clone()), Some(expected), "{filter:?}");
        }

        let longer = AccessToken {
            expires_at: None,
            ..token.clone()
        };
        store.update_token(longer.clone()).wait().unwrap();
        // At once, whatever was in a cache.
        assert_eq!(
            store.access_token(token.hash).wait(),
            Ok(Some(Arc::new(longer)))
        );
        assert_eq!(store.revoke_access(token.id, cut(0)).wait(), Ok(true));
        assert!(is_revoked(store, &token));
        assert_eq!(store.access_token(token.hash).wait(), Ok(None));
        assert_eq!(store.revoke_access(token.id, cut(0)).wait(), Ok(false));
        let all = TokenFilter {
            client_id: Some("app".into()),
            ..none()
        };
        assert_eq!(store.revoke_tokens(all, cut(0)).wait(), Ok(1));
    });
}

#[test]
fn device_codes_are_polled_decided_and_used_once() {
    each(|store| {
        let device = DeviceCode {
            hash: Digest::of("d"),
            user_code: Digest::of("WDJBMJHT"),
            server: "main".into(),
            client_key: uuid::Uuid::from_u128(7),
            client_id: "tv".into(),
            scope: vec!["read".into()],
            resources: Vec::new(),
            state: DeviceState::Pending,
            subject: None,
            details: Map::new(),
            interval: 5,
            last_poll: None,
            expires_at: at(600),
        };
        store.add_device(device.clone()).wait().unwrap();
        let twin = DeviceCode {
            hash: Digest::of("e"),
            ..device.clone()
        };
        assert!(matches!(
            store.add_device(twin).wait(),
            Err(StoreError::Conflict {
                field: "user_code",
                ..
            })
        ));
        let poll = |seconds| {
            store
                .poll_device(device.hash, device.client_key, at(seconds))
                .wait()
                .unwrap()
        };
        assert_eq!(poll(0), DevicePoll::Pending);
        assert_eq!(poll(4), DevicePoll::SlowDown);
        assert_eq!(poll(10), DevicePoll::SlowDown);
        assert_eq!(poll(25), DevicePoll::Pending);
        let foreign = store.poll_device(device.hash, new_id(), at(50)).wait();
        assert_eq!(foreign, Ok(DevicePoll::Unknown));
        let found = store.device_by_user_code(device.user_code).wait().unwrap();
        let approved = DeviceCode {
            state: DeviceState::Approved,
            subject: Some("alice".into()),
            ..found.unwrap()
        };
        assert_eq!(
            store.decide_device(approved.clone(), at(30)).wait(),
            Ok(true)
        );
        assert_eq!(store.decide_device(approved, at(30)).wait(), Ok(false));
        assert!(
            matches!(poll(50), DevicePoll::Approved(device) if device.subject.as_deref() == Some("alice"))
        );
        let use_it = || {
            store
                .use_device(device.hash, at(50), Issue::default())
                .wait()
        };
        assert_eq!(use_it(), Ok(true));
        assert_eq!(use_it(), Ok(false));
        assert_eq!(poll(60), DevicePoll::Unknown);
        assert_eq!(poll(700), DevicePoll::Expired);
    });
}

#[test]
fn handles_are_taken_once() {
    each(|store| {
        let handle = Handle {
            kind: HandleKind::LoginSession,
            hash: Digest::of("h"),
            payload: Sealed(vec![1]),
            subject: Some("alice".into()),
            expires_at: at(60),
        };
        store.put_handle(handle.clone()).wait().unwrap();
        let get = |kind| store.handle(kind, handle.hash).wait().unwrap();
        assert_eq!(get(HandleKind::LoginSession), Some(handle.clone()));
        assert_eq!(get(HandleKind::Interaction), None);
        let take = || store.take_handle(handle.kind, handle.hash).wait().unwrap();
        assert_eq!(take(), Some(handle.clone()));
        assert_eq!(take(), None);
        store.put_handle(handle.clone()).wait().unwrap();
        assert_eq!(store.end_sessions("alice").wait(), Ok(1));
        assert_eq!(take(), None);
    });
}

#[test]
fn a_value_is_seen_once() {
    each(|store| {
        let first = |now| {
            store
                .first_use(Digest::of("jti"), at(now), at(now + 60))
                .wait()
                .unwrap()
        };
        assert!(first(0));
        assert!(!first(59));
        assert!(first(60));
    });
}

#[test]
fn the_later_cut_off_stays() {
    each(|store| {
        let entry = |seconds| cut(seconds).entry(RevocationKind::Client, "app", "main");
        let first = store.revoke(entry(10)).wait().unwrap();
        let second = store.revoke(entry(5)).wait().unwrap();
        assert!(second.seq > first.seq);
        assert_eq!(second.not_before, at(10));
        let log = store.revocations(0, 10).wait().unwrap();
        assert_eq!(log, std::slice::from_ref(&second));
        assert_eq!(store.revocations(second.seq, 10).wait(), Ok(Vec::new()));
        assert_eq!(store.revoked().not_before("main", "app"), Some(at(10)));
    });
}

#[test]
fn keys_consents_and_leases() {
    each(|store| {
        let key = StoredKey {
            kid: "k".into(),
            server: "main".into(),
            label: "main".into(),
            algorithm: "ES256".into(),
            state: KeyState::Next,
            public_jwk: serde_json::json!({"kty": "EC"}),
            private: Sealed(vec![1]),
            not_before: NOW,
            retire_at: None,
            remove_at: None,
            created_at: NOW,
        };
        store.put_keys(vec![key.clone()]).wait().unwrap();
        let active = StoredKey {
            state: KeyState::Active,
            ..key
        };
        store.put_keys(vec![active.clone()]).wait().unwrap();
        assert_eq!(store.keys("main").wait(), Ok(vec![active]));
        assert_eq!(store.remove_key("main", "k").wait(), Ok(true));

        let consent = Consent {
            subject: "alice".into(),
            client_key: new_id(),
            scope: vec!["read".into()],
            resources: Vec::new(),
            granted_at: NOW,
            expires_at: at(60),
        };
        store.put_consent(consent.clone()).wait().unwrap();
        let found = store.consent("alice", consent.client_key).wait();
        assert_eq!(found, Ok(Some(consent.clone())));
        let forgotten = store.forget_consent("alice", consent.client_key).wait();
        assert_eq!(forgotten, Ok(true));

        let (a, b) = (new_id(), new_id());
        let acquire = |holder, now| store.acquire("sweep", holder, at(now), at(now + 10)).wait();
        assert_eq!(acquire(a, 0), Ok(true));
        assert_eq!(acquire(b, 9), Ok(false));
        assert_eq!(acquire(a, 9), Ok(true));
        assert_eq!(acquire(b, 19), Ok(true));
        store.release("sweep", b).wait().unwrap();
        assert_eq!(acquire(a, 20), Ok(true));
    });
}

#[test]
fn users_are_locked_and_deleted() {
    each(|store| {
        let user = UserAccount {
            id: new_id(),
            username: "Alice".into(),
            password: Some("$argon2id$…".into()),
            claims: Map::new(),
            enabled: true,
            failed: 0,
            locked_until: None,
            created_at: NOW,
            updated_at: NOW,
        };
        store.create_user(user.clone()).wait().unwrap();
        assert_eq!(store.user("alice").wait(), Ok(Some(user.clone())));
        let twin = UserAccount {
            id: new_id(),
            username: "ALICE".into(),
            ..user.clone()
        };
        assert!(matches!(
            store.create_user(twin).wait(),
            Err(StoreError::Conflict {
                field: "username",
                ..
            })
        ));
        let fail = || {
            let lockout = Duration::from_secs(900);
            let user = store.login_failed(user.id, NOW, 3, lockout).wait();
            user.unwrap().unwrap().locked_until
        };
        assert_eq!((fail(), fail(), fail()), (None, None, Some(at(900))));
        store.login_succeeded(user.id).wait().unwrap();
        assert_eq!(store.user_by_id(user.id).wait(), Ok(Some(user.clone())));

        let token = AccessToken {
            subject: Some("Alice".into()),
            ..access("t", None)
        };
        let servers = vec!["main".to_owned()];
        assert_eq!(store.delete_user(user.id, servers, cut(0)).wait(), Ok(true));
        assert!(is_revoked(store, &token));
        assert_eq!(store.user("alice").wait(), Ok(None));
    });
}

#[test]
fn the_audit_chain_shows_what_is_missing() {
    each(|store| {
        for number in 0..3 {
            let entry = AuditEntry::new(NOW, "admin:ops", "client_created", "app");
            store.audit(entry.with("number", number)).wait().unwrap();
        }
        let log = store.audit_log(0, 10).wait().unwrap();
        let mut previous = "";
        for entry in &log {
            assert_eq!(entry.previous, previous);
            assert_eq!(entry.hash, entry.chained(previous));
            previous = &entry.hash;
        }
        assert_eq!(log.len(), 3);
        assert_eq!(store.audit_log(2, 10).wait().unwrap().len(), 1);
        let forged = AuditEntry {
            actor: "nobody".into(),
            ..log[1].clone()
        };
        assert_ne!(forged.hash, forged.chained(&forged.previous));
    });
}

#[test]
fn a_sweep_takes_what_has_expired_and_no_more() {
    each(|store| {
        let mut answers = Vec::new();
        for number in 0..1500 {
            let ends = number % 3 != 0;
            let token = AccessToken {
                expires_at: ends.then_some(at(10)),
                ..access(&format!("t{number}"), None)
            };
            let issue = Issue {
                access: Some(token),
                ..Issue::default()
            };
            answers.push(store.issue(issue));
        }
        for answer in answers {
            answer.wait().unwrap();
        }
        let family = family("alice");
        store.add_code(code("c", &family)).wait().unwrap();
        let issue = Issue {
            family: Some(family.clone()),
            refresh: Some(refresh("r", &family, None)),
            ..Issue::default()
        };
        store.issue(issue).wait().unwrap();
        store
            .revoke(cut(0).entry(RevocationKind::Jti, "j", "main"))
            .wait()
            .unwrap();
        let sweep = |seconds| {
            let limit = Duration::from_secs(60);
            store
                .sweep(at(seconds), Duration::from_secs(5), limit)
                .unwrap()
        };
        assert_eq!(sweep(14), []);
        assert_eq!(sweep(15), [("access_token", 1000)]);
        assert_eq!(
            sweep(60).first().map(|(table, _)| *table),
            Some("authorization_code")
        );
        assert_eq!(store.revoked().len(), 1);
        sweep(20_000);
        assert!(store.revoked().is_empty());
        let rows = store.rows().wait().unwrap();
        let of = |name| rows.iter().find(|(table, _)| *table == name).unwrap().1;
        assert_eq!(
            (of("grant_family"), of("refresh_token"), of("revocation")),
            (0, 0, 0)
        );
        assert_eq!(store.family(family.id).wait(), Ok(None));
    });
}

#[test]
fn a_store_can_be_shared_and_awaited() {
    let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let found = runtime.block_on(async { store.consumer(new_id()).await });
    assert_eq!(found, Ok(None));
}

/// A file, its lock, its schema, its copies.
mod file {
    use super::*;
    use crate::store::sqlite::{self, OpenError};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn open(path: &Path) -> Result<Sqlite, OpenError> {
        Sqlite::open(&Options::new(Some(path.to_owned())))
    }

    fn execute(path: &Path, sql: &str) {
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    #[test]
    fn one_process_at_a_time_and_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = open(&path).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Locked(_)), "{error}");
        store.create_consumer(consumer("bob")).wait().unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
        drop(store);
        let store = open(&path).unwrap();
        assert!(store.consumer_by_username("bob").wait().unwrap().is_some());
    }

    #[test]
    fn a_schema_that_is_not_known_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        drop(open(&path).unwrap());
        execute(
            &path,
            "INSERT INTO schema_migration VALUES (99, 'later', 'x', 0, 1)",
        );
        // A later step that this program can live with.
        drop(open(&path).unwrap());
        execute(
            &path,
            "UPDATE schema_migration SET min_binary = 99 WHERE version = 99",
        );
        let error = open(&path).unwrap_err();
        assert!(
            matches!(error, OpenError::Newer { found: 99, .. }),
            "{error}"
        );
        execute(
            &path,
            "DELETE FROM schema_migration WHERE version = 99; UPDATE schema_migration SET checksum = 'x'",
        );
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Edited(1)), "{error}");

        let foreign = folder.path().join("foreign.db");
        execute(&foreign, "CREATE TABLE t (x)");
        assert!(matches!(open(&foreign), Err(OpenError::Foreign)));
    }

    #[test]
    fn a_copy_of_a_store_in_use_can_be_restored() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (
            folder.path().join("store.db"),
            folder.path().join("copy.db"),
        );
        let store = open(&path).unwrap();
        store.create_consumer(consumer("bob")).wait().unwrap();
        sqlite::backup(&path, &copy).unwrap();
        assert!(matches!(
            sqlite::backup(&path, &copy),
            Err(OpenError::Exists(_))
        ));
        store.create_consumer(consumer("eve")).wait().unwrap();
        assert!(matches!(
            sqlite::restore(&copy, &path),
            Err(OpenError::Locked(_))
        ));
        drop(store);
        sqlite::restore(&copy, &path).unwrap();
        let store = open(&path).unwrap();
        assert!(store.consumer_by_username("bob").wait().unwrap().is_some());
        assert!(store.consumer_by_username("eve").wait().unwrap().is_none());
    }

    #[test]
    fn sealed_values_move_to_a_new_key() {
        use crate::crypto::seal::StorageKeys;
        use crate::store::vault::Place;
        let vault = |keys: &[[u8; 32]]| {
            let keys = StorageKeys::from_bytes(keys).unwrap();
            Vault::new(keys, true, true).unwrap()
        };
        let (old, both, new) = (
            vault(&[[1; 32]]),
            vault(&[[2; 32], [1; 32]]),
            vault(&[[2; 32]]),
        );
        let store = Sqlite::in_memory().unwrap();
        let plain = access("t", None);
        let kept = old.keep_token(Place::AccessToken, plain.id, "t").unwrap();
        let issue = Issue {
            access: Some(AccessToken {
                sealed: kept.sealed,
                ..plain
            }),
            ..Issue::default()
        };
        store.issue(issue).wait().unwrap();
        assert_eq!(store.rekey(&both), Ok(1));
        assert_eq!(store.rekey(&both), Ok(0));
        let all = store
            .tokens(TokenFilter::default(), Page::first(1))
            .wait()
            .unwrap();
        let token = &all.items[0].access;
        let sealed = token.sealed.as_ref().unwrap();
        assert!(new.reveal(Place::AccessToken, token.id, sealed).is_some());
        assert!(old.reveal(Place::AccessToken, token.id, sealed).is_none());
    }
}
