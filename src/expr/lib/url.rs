//! URLs.

use crate::expr::function::Args;
use crate::expr::lib::text;
use crate::expr::value::Value;

/// `relative_url(s)`: path, query and fragment of a URL as they stand.
pub(crate) fn relative_url(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let given = text(&mut args, 0)?;
    let url = given.as_str().ok_or("not a URL")?.trim();
    if url.bytes().any(|b| b.is_ascii_control()) {
        return Err("not a URL: control character".into());
    }
    let after_scheme = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .or_else(|| url.strip_prefix("//"));
    let relative = match after_scheme {
        Some(rest) => {
            let (authority, relative) =
                rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            check_authority(authority)?;
            relative
        }
        None if url.starts_with('/') => url,
        None => return Err("expected a URL starting with `/`, `http://` or `https://`".into()),
    };
    let (before, fragment) = relative.split_once('#').unwrap_or((relative, ""));
    let path = before.split('?').next().unwrap_or_default();
    if !is_encoded(path) || !is_encoded(fragment) {
        return Err("not a URL: malformed percent-encoding".into());
    }
    let slash = if relative.starts_with('/') { "" } else { "/" };
    Ok(Value::from(format!("{slash}{relative}")))
}

fn check_authority(authority: &str) -> Result<(), String> {
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let port = match host_and_port.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':'),
        None => host_and_port.rsplit_once(':').map(|(_, port)| port),
    };
    if port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err("not a URL: malformed port".into());
    }
    if authority.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
        return Err("not a URL: malformed host".into());
    }
    Ok(())
}

fn is_encoded(part: &str) -> bool {
    part.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}
