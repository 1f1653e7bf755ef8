//! Header rules between connections: what ends here and what is rewritten.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

/// Fields that concern one connection only (RFC 9110 §7.6.1).
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that a `Connection` field cannot name away.
fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "authorization" | "cookie" | "host" | "forwarded" | "via"
    ) || name.starts_with("content-")
        || name.starts_with("x-forwarded-")
}

/// Removes the fields that `listed` names. One pass over the few fields of a message costs less
/// than a look-up for each name that could be there.
pub fn remove_listed(headers: &mut HeaderMap, listed: impl Fn(&HeaderName) -> bool) {
    let found: SmallVec<[HeaderName; 4]> = headers
        .keys()
        .filter(|name| listed(name))
        .cloned()
        .collect();
    for name in &found {
        headers.remove(name);
    }
}

/// Removes hop-by-hop fields and those that `Connection` names.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| !is_protected(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // RFC 9112 6.3: it overrides the length, which must not be passed on.
        headers.remove(header::CONTENT_LENGTH);
    }
    remove_listed(headers, |name| HOP_BY_HOP.contains(name));
    let trailers = |value: &HeaderValue| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"trailers")
    };
    if headers.get(header::TE).is_some_and(|te| !trailers(te)) {
        headers.remove(header::TE);
    }
}

/// Whether a client takes gzip: it is named, and not with weight 0 (RFC 9110 §12.5.3).
///
/// Deviation: Couper looks for the word only, and so sends gzip to a client that refuses it.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let named = |coding: &str| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let weight = parts.find_map(|part| {
            let (name, weight) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| weight.trim())
        });
        let refused = weight.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        (name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip")) && !refused
    };
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.split(',').any(named))
}

/// The weight that a client gives a coding (RFC 9110 §12.5.3): zero for one that it does not take.
pub fn weight_of_coding(headers: &HeaderMap, coding: &str) -> f32 {
    let mut any = 0.0;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for element in value.to_str().unwrap_or("").split(',') {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or("");
            let weight = parts.find_map(|part| {
                let (name, weight) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| weight.trim())
            });
            let weight = weight.map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if name.eq_ignore_ascii_case(coding) {
                return weight;
            }
            if name == "*" {
                any = weight;
            }
        }
    }
    any
}

/// Whether a list field has an element, in any case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let elements = value.as_bytes().split(|b| *b == b',');
        elements
            .map(<[u8]>::trim_ascii)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// Leaves `gzip` in `Accept-Encoding` if the client takes it, else nothing.
pub fn reduce_accept_encoding(headers: &mut HeaderMap) {
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        return;
    }
    if accepts_gzip(headers) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    } else {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

/// The value of a field for the log: several lines as one, with `|` between.
pub fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut rest = values.peekable();
    if rest.peek().is_none() {
        return Some(first.clone());
    }
    let mut all = first.as_bytes().to_vec();
    for value in rest {
        all.push(b'|');
        all.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&all).ok()
}

/// Cuts the attribute `Secure` off every `Set-Cookie`.
pub fn strip_secure_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let cookies: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .cloned()
        .collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        let parts = cookie.as_bytes().split(|b| *b == b';');
        let kept: Vec<&[u8]> = parts
            .filter(|part| !part.trim_ascii().eq_ignore_ascii_case(b"secure"))
            .collect();
        let value = HeaderValue::from_bytes(&kept.join(&b';')).unwrap_or(cookie);
        headers.append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn connection_names_fields_away_but_not_protected_ones() {
        let mut map = headers(&[
            ("connection", "x-a, keep-alive, authorization"),
            ("connection", "x-b"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("x-c", "1"),
            ("authorization", "Bearer x"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
        ]);
        remove_hop_by_hop(&mut map);
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-c"]);
    }

    #[test]
    fn gzip_is_taken_unless_refused() {
        for (value, taken) in [
            ("gzip", true),
            ("br, GZIP;q=0.8", true),
            ("x-gzip", true),
            ("gzip;q=0", false),
            ("gzip ; Q = 0.000, br", false),
            ("br, deflate", false),
            ("notgzip", false),
            ("", false),
        ] {
            assert_eq!(
                accepts_gzip(&headers(&[("accept-encoding", value)])),
                taken,
                "{value}"
            );
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn secure_is_cut_and_the_rest_kept() {
        let mut map = headers(&[
            ("set-cookie", "a=b; Path=/; SECURE; HttpOnly"),
            ("set-cookie", "c=d"),
        ]);
        strip_secure_cookies(&mut map);
        let all: Vec<_> = map.get_all("set-cookie").iter().collect();
        assert_eq!(all, ["a=b; Path=/; HttpOnly", "c=d"]);
    }
}
