//! Secrets in logged addresses.
//!
//! Query strings are logged because they explain requests, but some parameters *are* credentials.
//! [`redact`] replaces their values and drops the password of a URL's user information. An address
//! without any of them, the usual case, is borrowed.

use std::borrow::Cow;

/// What stands in place of a secret value.
pub const REDACTED: &str = "[redacted]";

/// Parameters whose values are never written, compared without regard to case.
pub const SECRET_PARAMETERS: [&str; 15] = [
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "code",
    "code_verifier",
    "client_secret",
    "client_assertion",
    "assertion",
    "password",
    "samlresponse",
    "subject_token",
    "apikey",
    "api_key",
    "api-key",
];

/// `address` (a URL, a path with query, or a header value that holds one) without secrets.
///
/// The fragment is treated like a query: implicit answers of OAuth put tokens there.
pub fn redact(address: &[u8]) -> Cow<'_, [u8]> {
    let user = password(address);
    let query = memchr::memchr2(b'?', b'#', address).map_or(address.len(), |at| at + 1);
    let mut out: Option<Vec<u8>> = user.map(|(from, to)| {
        let mut out = Vec::with_capacity(address.len());
        out.extend_from_slice(&address[..from]);
        out.extend_from_slice(&address[to..query.max(to)]);
        out
    });
    let mut at = user.map_or(query, |(_, to)| query.max(to));
    while at < address.len() {
        let rest = &address[at..];
        let end = rest
            .iter()
            .position(|b| b"&;#?".contains(b))
            .unwrap_or(rest.len());
        let pair = &rest[..end];
        let next = (end + 1).min(rest.len());
        let secret =
            memchr::memchr(b'=', pair).filter(|&eq| eq + 1 < end && is_secret(&pair[..eq]));
        if let Some(eq) = secret {
            let out = out.get_or_insert_with(|| address[..at].to_vec());
            out.extend_from_slice(&pair[..=eq]);
            out.extend_from_slice(REDACTED.as_bytes());
            out.extend_from_slice(&rest[end..next]);
        } else if let Some(out) = &mut out {
            out.extend_from_slice(&rest[..next]);
        }
        at += next;
    }
    out.map_or(Cow::Borrowed(address), Cow::Owned)
}

/// The `:password` of the user information, as a range.
fn password(address: &[u8]) -> Option<(usize, usize)> {
    let start = memchr::memmem::find(address, b"//")? + 2;
    // A path that merely holds `//` has no scheme in front of it.
    if start > 2 && address[start - 3] != b':' {
        return None;
    }
    let rest = &address[start..];
    let end = rest
        .iter()
        .position(|b| b"/?#".contains(b))
        .unwrap_or(rest.len());
    let at = memchr::memrchr(b'@', &rest[..end])?;
    let colon = memchr::memchr(b':', &rest[..at])?;
    Some((start + colon, start + at))
}

fn is_secret(name: &[u8]) -> bool {
    let mut decoded = [0; 16];
    let mut length = 0;
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        let byte = if byte == b'%' {
            let hex = |b: Option<&u8>| b.and_then(|&b| char::from(b).to_digit(16));
            let mut ahead = bytes.clone();
            match (hex(ahead.next()), hex(ahead.next())) {
                (Some(high), Some(low)) => {
                    bytes = ahead;
                    u8::try_from(high * 16 + low).unwrap_or(byte)
                }
                _ => byte,
            }
        } else {
            byte
        };
        let Some(slot) = decoded.get_mut(length) else {
            return false;
        };
        *slot = byte;
        length += 1;
    }
    let name = &decoded[..length];
    SECRET_PARAMETERS
        .iter()
        .any(|secret| secret.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: &str) -> String {
        String::from_utf8(redact(address.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn secrets_are_replaced() {
        for (address, expected) in [
            ("/cb?code=abc&state=x", "/cb?code=[redacted]&state=x"),
            ("/cb?state=x&CODE=abc", "/cb?state=x&CODE=[redacted]"),
            (
                "/?a=1;token=t#id_token=u",
                "/?a=1;token=[redacted]#id_token=[redacted]",
            ),
            ("/#access_token=u&b=1", "/#access_token=[redacted]&b=1"),
            ("/?c%6Fde=abc", "/?c%6Fde=[redacted]"),
            ("/?SAMLResponse=PD94", "/?SAMLResponse=[redacted]"),
            ("/?x=/y?password=p", "/?x=/y?password=[redacted]"),
            ("http://u:p@h/x", "http://u@h/x"),
            ("http://u:p@h/x?code=1", "http://u@h/x?code=[redacted]"),
            ("http://u:p@h?a=b", "http://u@h?a=b"),
            ("http://u:p@h", "http://u@h"),
        ] {
            assert_eq!(text(address), expected);
        }
    }

    #[test]
    fn the_rest_is_borrowed() {
        for address in [
            "/",
            "",
            "/?",
            "/?code",
            "/?code=",
            "/?encode=1&codes=2",
            "http://u@h/?a=b",
            "/a//b:c@d",
            "/?%",
            "/?%zz=1&very_long_parameter_name_indeed=1",
            "https://h/x?y#z",
        ] {
            assert!(
                matches!(redact(address.as_bytes()), Cow::Borrowed(_)),
                "{address}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_never_shows_the_marker(before in ".{0,20}", after in ".{0,20}") {
            let address = format!("/?{before}&token=MARKER&{after}");
            proptest::prop_assert!(!text(&address).contains("MARKER"));
            redact(before.as_bytes());
        }
    }
}
