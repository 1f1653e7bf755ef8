//! Whether what came is what a step wants.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::case::{Expect, Location, Secret, Seen, WantedToken};
use super::client::Answer;
use super::encoding::{base64, base64url, hex, md5, parse_form, sha256};
use super::gateway::Printed;
use super::matching::{compare, compare_tables, shortened};
use super::origin::Origin;
use super::value::{Table, Value};
use super::{Mismatch, eventually, lock, pattern, tokens};

/// Where each record stood when a step began.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Lines printed.
    pub lines: usize,
    /// Log entries.
    pub entries: usize,
    /// Requests seen by each origin.
    pub origins: BTreeMap<String, usize>,
}

/// How long is waited for records that come beside the answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For what must come.
    pub wanted: Duration,
    /// For what must not come.
    pub unwanted: Duration,
}

/// The usual patience.
pub const PATIENT: Patience = Patience {
    wanted: Duration::from_secs(5),
    unwanted: Duration::from_millis(300),
};
/// The patience of an attempt which is repeated anyway.
pub const HASTY: Patience = Patience {
    wanted: Duration::from_millis(300),
    unwanted: Duration::from_millis(300),
};

/// What is looked at besides the answer.
#[derive(Debug)]
pub struct Records<'a> {
    /// What the gateway printed.
    pub printed: &'a Printed,
    /// The origins.
    pub origins: &'a BTreeMap<String, Origin>,
    /// The case's folder.
    pub folder: &'a Path,
    /// The files in it which the gateway did not write.
    pub own: &'a std::sync::Mutex<BTreeSet<PathBuf>>,
}

impl Records<'_> {
    /// The marks of a step that begins now.
    pub fn marks(&self) -> Marks {
        let (lines, entries) = self.printed.marks();
        let origins = self
            .origins
            .iter()
            .map(|(name, o)| (name.clone(), o.count()))
            .collect();
        Marks {
            lines,
            entries,
            origins,
        }
    }

    /// Checks an answer and all records since the marks.
    pub fn check(
        &self,
        expect: &Expect,
        answer: &Answer,
        marks: &Marks,
        patience: Patience,
    ) -> Result<(), Mismatch> {
        check_answer(expect, answer)?;
        for wanted in &expect.output {
            eventually(patience.wanted, || self.output(wanted, marks))?;
        }
        for unwanted in &expect.no_output {
            for line in self.printed.lines_since(0) {
                if pattern::found(unwanted, pattern::Flags::default(), &line)? {
                    let line = shortened(&line, 400);
                    return Err(Mismatch::new(format!(
                        "no_output: /{unwanted}/ is in {line}"
                    )));
                }
            }
        }
        for secret in &expect.nowhere {
            self.nowhere(secret)?;
        }
        for (files, mode) in &expect.mode {
            self.mode(files, mode)?;
        }
        for (name, wanted) in &expect.origin {
            let origin = self.origins.get(name);
            let origin = origin.ok_or_else(|| Mismatch::new(format!("unknown origin {name:?}")))?;
            let first = marks.origins.get(name).copied().unwrap_or_default();
            eventually(patience.wanted, || {
                seen(name, wanted, &origin.seen_since(first))
            })?;
        }
        for wanted in &expect.log {
            eventually(patience.wanted, || self.log(wanted, marks))
                .map_err(|reason| reason.within(format!("log {}", Value::Table(wanted.clone()))))?;
        }
        if !expect.no_log.is_empty() {
            let found = eventually(patience.unwanted, || {
                let entry = expect
                    .no_log
                    .iter()
                    .find(|unwanted| self.log(unwanted, marks).is_ok());
                entry.ok_or_else(|| Mismatch::new("none"))
            });
            if let Ok(entry) = found {
                let entry = Value::Table(entry.clone());
                return Err(Mismatch::new(format!(
                    "no_log {entry}: such an entry was logged"
                )));
            }
        }
        Ok(())
    }

    fn output(&self, wanted: &str, marks: &Marks) -> Result<(), Mismatch> {
        let lines = self.printed.lines_since(marks.lines);
        for line in &lines {
            if pattern::found(wanted, pattern::Flags::default(), line)? {
                return Ok(());
            }
        }
        let lines = shortened(&lines.join(" | "), 900);
        Err(Mismatch::new(format!(
            "output: no line matches /{wanted}/: {lines}"
        )))
    }

    /// Looks for a log entry; the reason speaks of the last entry of the same type.
    fn log(&self, wanted: &Table, marks: &Marks) -> Result<(), Mismatch> {
        let mut reason = Mismatch::new("no entry at all");
        for entry in self.printed.entries_since(marks.entries) {
            match compare_tables(wanted, &entry, "entry") {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    let kind = wanted.get("type");
                    if kind.is_none() || kind == entry.get("type") {
                        reason = fault;
                    }
                }
            }
        }
        Err(reason)
    }

    /// A text, or the fast hashes of it, is in no file the gateway wrote and in nothing it printed.
    fn nowhere(&self, secret: &Secret) -> Result<(), Mismatch> {
        let unwanted: Vec<Vec<u8>> = match secret {
            Secret::Plain(text) => vec![text.clone().into_bytes()],
            Secret::FastHashOf(text) => {
                let legacy = aws_lc_rs::digest::digest(
                    &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
                    text.as_bytes(),
                );
                let long = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, text.as_bytes());
                let digests = [
                    md5(text.as_bytes()).to_vec(),
                    legacy.as_ref().to_vec(),
                    sha256(text),
                    long.as_ref().to_vec(),
                ];
                digests
                    .into_iter()
                    .flat_map(|digest| {
                        let text = base64(&digest).trim_end_matches('=').to_owned();
                        [
                            hex(&digest).into_bytes(),
                            text.into_bytes(),
                            base64url(&digest).into_bytes(),
                            digest,
                        ]
                    })
                    .collect()
            }
        };
        let mut places = vec![(
            "its output".to_owned(),
            self.printed.lines_since(0).join("\n").into_bytes(),
        )];
        let own = lock(self.own).clone();
        for file in files_below(self.folder)? {
            if !own.contains(&file) {
                places.push((self.relative(&file), std::fs::read(&file)?));
            }
        }
        for (place, content) in places {
            if unwanted
                .iter()
                .any(|form| memchr::memmem::find(&content, form).is_some())
            {
                return Err(Mismatch::new(format!("{secret:?} is found in {place}")));
            }
        }
        Ok(())
    }

    fn relative(&self, file: &Path) -> String {
        file.strip_prefix(self.folder)
            .unwrap_or(file)
            .display()
            .to_string()
    }

    fn mode(&self, wanted: &str, mode: &str) -> Result<(), Mismatch> {
        let parts: Vec<&str> = wanted.split('/').collect();
        let mut found = Vec::new();
        for file in files_below(self.folder)? {
            let name = self.relative(&file);
            if path_fits(&parts, &name.split('/').collect::<Vec<_>>()) {
                let bits = std::fs::metadata(&file)?.permissions().mode() & 0o777;
                found.push((name, format!("{bits:o}")));
            }
        }
        if found.is_empty() || found.iter().any(|(_, bits)| bits != mode) {
            return Err(Mismatch::new(format!(
                "files {wanted}: want mode {mode}, got {found:?}"
            )));
        }
        Ok(())
    }
}

/// Checks what can be seen in the answer alone.
fn check_answer(expect: &Expect, answer: &Answer) -> Result<(), Mismatch> {
    if let Some(wanted) = &expect.status
        && !wanted.allows(&answer.status)
    {
        let headers = Value::Table(answer.headers.clone());
        let body = shortened(&answer.body, 500);
        let status = answer.status;
        return Err(Mismatch::new(format!(
            "status: want {wanted:?}, got {status} {headers} {body}"
        )));
    }
    check_headers(&expect.headers, &answer.headers)?;
    if let Some(wanted) = &expect.body {
        compare(wanted, &Value::from(&answer.body), "body")?;
    }
    let not_json = || Value::Text(format!("not JSON: {}", shortened(&answer.body, 300)));
    if let Some(wanted) = &expect.json {
        compare(
            wanted,
            &answer.json.clone().unwrap_or_else(not_json),
            "json",
        )?;
    }
    if let Some(wanted) = &expect.json_exact
        && answer.json.as_ref() != Some(wanted)
    {
        let body = shortened(&answer.body, 500);
        return Err(Mismatch::new(format!(
            "json: want exactly {wanted}, got {body}"
        )));
    }
    if let Some(wanted) = &expect.end
        && !answer.end.is_some_and(|end| wanted.allows(&end.to_owned()))
    {
        let body: String = answer
            .body
            .chars()
            .rev()
            .take(300)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let end = answer.end.unwrap_or("nothing raw");
        return Err(Mismatch::new(format!(
            "connection: want {wanted:?}, got {end} after {body:?}"
        )));
    }
    let limits = [
        (
            "the first byte of the body came",
            answer.first_seconds,
            None,
            expect.first_max_seconds,
        ),
        (
            "answered",
            answer.seconds,
            expect.min_seconds,
            expect.max_seconds,
        ),
    ];
    for (what, seconds, least, most) in limits {
        if let Some(least) = least.filter(|least| seconds < *least) {
            return Err(Mismatch::new(format!(
                "{what} after {seconds:.2} s, before {least}"
            )));
        }
        if let Some(most) = most.filter(|most| seconds > *most) {
            return Err(Mismatch::new(format!(
                "{what} after {seconds:.2} s, past {most}"
            )));
        }
    }
    for (path, wanted) in &expect.jwt {
        check_token(path, wanted, answer).map_err(|m| m.within(format!("jwt {path}")))?;
    }
    match &expect.location {
        Some(wanted) => check_location(wanted, answer),
        None => Ok(()),
    }
}

/// Several lines of one name are joined, unless a list is wanted.
fn check_headers(wanted: &Table, got: &Table) -> Result<(), Mismatch> {
    let wanted: Table = wanted
        .iter()
        .map(|(n, v)| (n.to_ascii_lowercase(), v.clone()))
        .collect();
    let got: Table = got
        .iter()
        .map(|(name, value)| match (value, wanted.get(name)) {
            (Value::List(lines), Some(Value::Text(_))) => {
                let lines: Vec<_> = lines.iter().map(Value::plain).collect();
                (name, Value::Text(lines.join(", ")))
            }
            _ => (name, value.clone()),
        })
        .collect();
    compare_tables(&wanted, &got, "headers")
}

fn check_token(path: &str, wanted: &WantedToken, answer: &Answer) -> Result<(), Mismatch> {
    let token = if path.is_empty() {
        answer.body.clone()
    } else {
        answer.member(path)?.plain()
    };
    let (header, claims) = tokens::open(&token)?;
    compare_tables(&wanted.header, &header, "header")?;
    compare_tables(&wanted.claims, &claims, "claims")?;
    if let Some(lifetime) = wanted.lifetime {
        let time = |name| {
            let claim = claims.get(name).and_then(Value::integer);
            claim.ok_or_else(|| Mismatch::new(format!("no whole number in {name}")))
        };
        let got = time("exp")? - time("iat")?;
        if got != i128::from(lifetime) {
            return Err(Mismatch::new(format!(
                "want a lifetime of {lifetime} s, got {got}"
            )));
        }
    }
    match &wanted.key_set {
        Some(key_set) => tokens::verify(&token, key_set),
        None => Ok(()),
    }
}

fn check_location(wanted: &Location, answer: &Answer) -> Result<(), Mismatch> {
    let location = answer
        .headers
        .get("location")
        .map(Value::plain)
        .unwrap_or_default();
    let (rest, fragment) = location.split_once('#').unwrap_or((&location, ""));
    let (url, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parts = [
        ("url", &wanted.url, Value::from(url)),
        ("query", &wanted.query, parse_form(query).into()),
        ("fragment", &wanted.fragment, parse_form(fragment).into()),
    ];
    for (name, wanted, got) in parts {
        if let Some(wanted) = wanted {
            let wanted: Table = [(name, wanted.clone())].into_iter().collect();
            compare_tables(&wanted, &[(name, got)].into_iter().collect(), "location")?;
        }
    }
    Ok(())
}

/// Checks what an origin has seen.
fn seen(name: &str, wanted: &Seen, requests: &[Table]) -> Result<(), Mismatch> {
    let list = || {
        let of =
            |request: &Table, member| request.get(member).map(Value::plain).unwrap_or_default();
        let lines: Vec<_> = requests
            .iter()
            .map(|r| format!("{} {}", of(r, "method"), of(r, "target")))
            .collect();
        shortened(&format!("{} {lines:?}", lines.len()), 600)
    };
    if let Some(count) = wanted.count.filter(|count| *count != requests.len()) {
        return Err(Mismatch::new(format!(
            "origin {name}: want {count} requests, got {}",
            list()
        )));
    }
    if let Some(most) = wanted.max_count.filter(|most| *most < requests.len()) {
        return Err(Mismatch::new(format!(
            "origin {name}: want at most {most} requests, got {}",
            list()
        )));
    }
    let request = wanted.request();
    if request.is_empty() {
        return Ok(());
    }
    let nth = wanted.nth.unwrap_or(-1);
    let index = if nth < 0 {
        requests.len().checked_add_signed(nth)
    } else {
        usize::try_from(nth).ok()
    };
    match index.and_then(|index| requests.get(index)) {
        Some(got) => compare_tables(&request, got, &format!("origin {name}")),
        None => Err(Mismatch::new(format!(
            "origin {name} got no such request, only {}",
            list()
        ))),
    }
}

/// All files at any depth.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Mismatch> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a path fits a pattern whose parts may be `**`, or have `*` and `?` in them.
pub fn path_fits(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| path_fits(rest, &path[skipped..])),
        ([first, pattern @ ..], [name, path @ ..]) => {
            name_fits(first.as_bytes(), name.as_bytes()) && path_fits(pattern, path)
        }
        _ => false,
    }
}

fn name_fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| name_fits(rest, &name[skipped..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => name_fits(pattern, name),
        ([first, pattern @ ..], [c, name @ ..]) => first == c && name_fits(pattern, name),
        _ => false,
    }
}
