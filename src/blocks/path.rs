//! Paths: what patterns and base paths may look like, how they are joined, and how a backend's
//! `path` and `path_prefix` change the path of a request.

/// A decoded path's segments are never `.` or `..` in configuration.
pub fn has_dot_segment(path: &str) -> bool {
    path.split('/')
        .any(|segment| segment == "." || segment == "..")
}

/// Joins base path and pattern: one slash between, none at the end but for the root.
pub fn join(base: &str, path: &str) -> String {
    let base = base.trim_matches('/');
    let path = path.strip_prefix('/').unwrap_or(path);
    match (base.is_empty(), path.is_empty()) {
        (true, _) => format!("/{path}"),
        (false, true) => format!("/{base}"),
        (false, false) => format!("/{base}/{path}"),
    }
}

/// Percent-decodes a path; `None` for a broken escape or text that is not UTF-8 afterwards.
pub fn decode(path: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !path.contains('%') {
        return Some(path.into());
    }
    if !escapes_are_sound(path) {
        return None;
    }
    let bytes = super::form::decode(path.as_bytes(), false);
    Some(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn escapes_are_sound(path: &str) -> bool {
    let bytes = path.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    memchr::memchr_iter(b'%', bytes).all(|at| hex(at + 1) && hex(at + 2))
}

/// Whether a request's path may be routed: no dot segments in any spelling (`%2e` is a dot, `%2f`,
/// `%5c` and a backslash are slashes here), no bare backslash, no NUL.
///
/// Deviation: Couper routes dot segments as they are, which leads out of path prefixes.
pub fn is_safe(path: &str) -> bool {
    let bytes = path.as_bytes();
    if memchr::memchr3(b'%', b'\\', b'.', bytes).is_none() {
        return true;
    }
    if memchr::memchr(b'\\', bytes).is_some() {
        return false;
    }
    let plain = super::form::decode(bytes, false);
    !plain.contains(&0)
        && !plain
            .split(|b| *b == b'/' || *b == b'\\')
            .any(|s| s == b"." || s == b"..")
}

/// The index in a raw path of the byte that stands at `decoded` in the decoded one.
pub fn raw_index(raw: &str, decoded: usize) -> usize {
    let bytes = raw.as_bytes();
    let mut at = 0;
    for _ in 0..decoded {
        let escape = bytes.get(at) == Some(&b'%') && at + 2 < bytes.len();
        at += if escape { 3 } else { 1 };
    }
    at.min(raw.len())
}

/// Why a configured path cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It holds `?` or `#`.
    #[error("it holds a query or fragment")]
    QueryOrFragment,
    /// It has a `..` segment.
    #[error("it has a `..` segment")]
    DotSegment,
    /// It has a broken escape.
    #[error("it has a broken percent escape")]
    Escape,
}

/// Checks a path made by an expression.
pub fn check(path: &str) -> Result<(), PathError> {
    if path.contains(['?', '#']) {
        return Err(PathError::QueryOrFragment);
    }
    if !escapes_are_sound(path) {
        return Err(PathError::Escape);
    }
    let plain = super::form::decode(path.as_bytes(), false);
    if plain.split(|b| *b == b'/').any(|segment| segment == b"..") {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

/// Puts what the endpoint's `**` matched in place of a final `/**`, byte for byte.
pub fn expand(path: &str, wildcard: Option<&str>) -> String {
    match (path.strip_suffix("/**"), wildcard) {
        (Some(prefix), Some(rest)) => {
            let mut path = clean(prefix);
            if path == "/" && !rest.is_empty() {
                path.clear();
            }
            path.push_str(rest);
            if path.is_empty() { "/".into() } else { path }
        }
        _ => clean(path),
    }
}

/// Like [`expand`] for the path of a URL, whose other bytes stay as they are.
pub fn expand_url(path: &str, wildcard: Option<&str>) -> String {
    match (path.strip_suffix("/**"), wildcard) {
        (Some(_), Some(_)) => expand(path, wildcard),
        _ => path.to_owned(),
    }
}

/// A leading slash is added, double slashes collapse.
fn clean(path: &str) -> String {
    let mut clean = String::with_capacity(path.len() + 1);
    clean.push('/');
    for c in path.chars() {
        if c != '/' || !clean.ends_with('/') {
            clean.push(c);
        }
    }
    clean
}

/// Puts a prefix in front of a path.
pub fn prefix(prefix: &str, path: &str) -> String {
    let mut joined = clean(prefix);
    while joined.ends_with('/') {
        joined.pop();
    }
    if !path.starts_with('/') {
        joined.push('/');
    }
    joined.push_str(path);
    joined
}

/// Escapes what may not stand in a request target as it is (blanks, controls, non-ASCII).
pub fn escape(path: &str) -> std::borrow::Cow<'_, str> {
    let plain = |b: u8| {
        b > b' '
            && b < 0x7f
            && !matches!(
                b,
                b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'\\' | b'^'
            )
    };
    if path.bytes().all(plain) {
        return path.into();
    }
    let mut escaped = String::with_capacity(path.len() + 8);
    for byte in path.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_join_with_one_slash() {
        for (base, path, joined) in [
            ("", "/", "/"),
            ("/", "/a", "/a"),
            ("a/", "/b", "/a/b"),
            ("/a", "/", "/a"),
            ("/a/b", "/**", "/a/b/**"),
        ] {
            assert_eq!(join(base, path), joined);
        }
    }

    #[test]
    fn dot_segments_in_any_spelling_are_unsafe() {
        for path in [
            "/a/../b",
            "/.",
            "/a/%2e%2E/b",
            "/a%2f..%2fb",
            "/a%5c..",
            "/a\\b",
            "/a/.%2e",
            "/a%00",
        ] {
            assert!(!is_safe(path), "{path}");
        }
        for path in ["/", "/a%2Fb", "/a%5Cb", "//", "/...", "/a.b/.c", "/a%20b"] {
            assert!(is_safe(path), "{path}");
        }
    }

    #[test]
    fn the_wildcards_bytes_are_kept() {
        assert_eq!(expand("/x/**", Some("/a%2Fb//c/")), "/x/a%2Fb//c/");
        assert_eq!(expand("/**", Some("/a")), "/a");
        assert_eq!(expand("/**", Some("")), "/");
        assert_eq!(expand("/x/**", Some("")), "/x");
        assert_eq!(expand("/x/**", None), "/x/**");
        assert_eq!(expand("a//b/", None), "/a/b/");
        assert_eq!(raw_index("/%61/b", 2), 4);
    }

    #[test]
    fn configured_paths_are_checked() {
        assert_eq!(check("/a?b"), Err(PathError::QueryOrFragment));
        assert_eq!(check("/a/%2e%2e/b"), Err(PathError::DotSegment));
        assert_eq!(check("/a%zz"), Err(PathError::Escape));
        assert_eq!(check("/a%2Fb"), Ok(()));
        assert_eq!(prefix("/x/", "/a"), "/x/a");
        assert_eq!(prefix("x//y", "/"), "/x/y/");
    }
}
