//! What a redirect address may be (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1).

use std::net::IpAddr;

/// Bytes of an address.
const LONGEST: usize = 2048;

/// Why an address cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no absolute address.
    Unreadable,
    /// It is one, but none that users may be sent to.
    Unfit(&'static str),
}

/// Checks an address; `any_http` allows plain HTTP on hosts other than this machine.
pub(super) fn check(uri: &str, any_http: bool) -> Result<(), Fault> {
    if uri.len() > LONGEST {
        return Err(Fault::Unfit("it is longer than 2048 bytes"));
    }
    let printable = uri.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    let (scheme, rest) = uri.split_once(':').ok_or(Fault::Unreadable)?;
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = scheme
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    if !printable || !begins || !scheme.bytes().all(sound) || rest.is_empty() {
        return Err(Fault::Unreadable);
    }
    if uri.contains('*') {
        return Err(Fault::Unfit("wildcards are not allowed"));
    }
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        // `javascript:`, `data:` and their like have none.
        return if scheme.contains('.') {
            Ok(())
        } else {
            Err(Fault::Unfit("a private-use scheme needs a dot"))
        };
    }
    let authority = rest.strip_prefix("//").ok_or(Fault::Unreadable)?;
    let authority = authority.split(['/', '?']).next().unwrap_or("");
    if authority.contains('@') {
        return Err(Fault::Unfit("user information is not allowed"));
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    let is_local = host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
    match host {
        "" => Err(Fault::Unreadable),
        _ if scheme == "http" && !is_local && !any_http => {
            Err(Fault::Unfit("plain HTTP is for loopback addresses only"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_may_be_sent_to() {
        for good in [
            "https://app.example/cb?x=1",
            "http://127.0.0.1:80/cb",
            "http://[::1]/cb",
            "com.example.app:/cb",
        ] {
            assert_eq!(check(good, false), Ok(()), "{good}");
        }
        assert_eq!(check("http://some-domain/endpoint/", true), Ok(()));
        for unfit in [
            "http://app.example/cb",
            "https://u@app.example/",
            "https://*.example/",
            "javascript:alert(1)",
            "app:/cb",
        ] {
            assert!(
                matches!(check(unfit, false), Err(Fault::Unfit(_))),
                "{unfit}"
            );
        }
        for wrong in [
            "",
            "not an address",
            "/cb",
            "https:///cb",
            "https:",
            "1x:/a",
        ] {
            assert_eq!(check(wrong, false), Err(Fault::Unreadable), "{wrong}");
        }
    }
}
