//! A store is killed at moments that nobody chose: what it had answered must be there afterwards.
//!
//! `STORE_KILLS` and `STORE_WRITES` make it longer.

#![allow(clippy::unwrap_used)]

use gateway::store::sqlite::{self, Options, Sqlite};
use gateway::store::{
    AccessToken, CodeUse, Codes as _, Cut, Digest, Issue, Millis, RevocationKind, Revocations as _,
    Tokens as _, new_id,
};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells the child where its database is.
const CHILD: &str = "STORE_KILL_CHILD";
const NOW: Millis = Millis(1_800_000_000_000);

fn number(name: &str, usual: usize) -> usize {
    let given = std::env::vars().find(|(known, _)| known == name);
    given.map_or(usual, |(_, value)| value.parse().unwrap())
}

fn token(value: &str) -> AccessToken {
    AccessToken {
        hash: Digest::of(value),
        id: new_id(),
        server: "main".into(),
        client_key: new_id(),
        client_id: "app".into(),
        family: None,
        refresh: None,
        subject: None,
        scope: Vec::new(),
        audience: Vec::new(),
        confirmation: None,
        claims: serde_json::Map::new(),
        service: None,
        sealed: None,
        preview: gateway::store::vault::preview(value),
        issued_at: NOW,
        expires_at: None,
        revoked_at: None,
    }
}

/// Writes until it is killed, and says what was answered.
fn write_without_end(path: &Path) {
    let store = Sqlite::open(&Options::new(Some(path.to_owned()))).unwrap();
    let mut out = std::io::stdout();
    for round in 0.. {
        // Several at a time, so that they share commits.
        let values: Vec<String> = (0..8).map(|_| format!("secret-{}", new_id())).collect();
        let answers: Vec<_> = values
            .iter()
            .map(|value| {
                let issue = Issue {
                    access: Some(token(value)),
                    ..Issue::default()
                };
                store.issue(issue)
            })
            .collect();
        for (value, answer) in values.iter().zip(answers) {
            answer.wait().unwrap();
            writeln!(out, "token {value}").unwrap();
        }
        let code = gateway::store::AuthorizationCode {
            hash: Some(Digest::of(&values[0])),
            expires_at: Millis(NOW.0 + 1000),
            ..Default::default()
        };
        store.add_code(code).wait().unwrap();
        let used = store.use_code(Digest::of(&values[0]), NOW, Issue::default());
        assert_eq!(used.wait(), Ok(CodeUse::Used));
        writeln!(out, "code {}", values[0]).unwrap();
        let cut = Cut {
            at: NOW,
            until: Millis::MAX,
            actor: "test".into(),
        };
        let jti = format!("jti-{round}-{}", new_id());
        let entry = cut.entry(RevocationKind::Jti, jti.as_str(), "main");
        store.revoke(entry).wait().unwrap();
        writeln!(out, "revoked {jti}").unwrap();
    }
}

#[test]
fn what_was_answered_survives_a_kill() {
    if let Some((_, path)) = std::env::vars().find(|(name, _)| name == CHILD) {
        write_without_end(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (kills, writes) = (number("STORE_KILLS", 5), number("STORE_WRITES", 100));
    let mut answered: Vec<String> = Vec::new();
    for _ in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "what_was_answered_survives_a_kill",
                "--nocapture",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let of_store = |line: &String| {
            ["token ", "code ", "revoked "]
                .iter()
                .any(|kind| line.starts_with(kind))
        };
        // Where in a commit this is depends on the two processes.
        let moment = 1 + usize::from(new_id().as_bytes()[15]) % writes;
        answered.extend(lines.by_ref().filter(of_store).take(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was said before the kill was answered, too.
        answered.extend(lines.filter(of_store));
    }
    assert!(answered.len() >= kills);

    sqlite::check(&sqlite::read_only(&path).unwrap()).unwrap();
    let store = Sqlite::open(&Options::new(Some(path))).unwrap();
    let log = store.revocations(0, u32::MAX).wait().unwrap();
    for line in &answered {
        let (kind, value) = line.split_once(' ').unwrap();
        match kind {
            "token" => {
                let found = store.access_token(Digest::of(value)).wait().unwrap();
                assert!(found.is_some(), "{line}");
            }
            "code" => {
                let again = store.use_code(Digest::of(value), NOW, Issue::default());
                assert!(
                    matches!(again.wait(), Ok(CodeUse::Replayed { .. })),
                    "{line}"
                );
            }
            _ => assert!(log.iter().any(|entry| entry.value == value), "{line}"),
        }
    }
    drop(store);
    // Of what was handed out nothing is in the files.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for line in answered.iter().filter(|line| line.starts_with("token ")) {
            let value = &line["token ".len()..];
            assert!(memchr::memmem::find(&bytes, value.as_bytes()).is_none());
        }
    }
}
