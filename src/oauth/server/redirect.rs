//! What a redirect URI may be (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1).

/// Whether it is that of a native application; or why it cannot be used.
pub fn check(uri: &str, any_http: bool) -> Result<bool, &'static str> {
    if uri.len() > 2048 {
        return Err("it is longer than 2048 bytes");
    }
    if uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it holds a blank or a control");
    }
    if uri.contains('#') {
        return Err("it has a fragment");
    }
    if uri.contains('*') {
        return Err("it has a wildcard");
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err("it is not absolute");
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(sound) {
        return Err("it is not absolute");
    }
    match scheme.to_ascii_lowercase().as_str() {
        scheme @ ("http" | "https") => {
            let authority = rest.strip_prefix("//").ok_or("it names no host")?;
            let authority = authority.split(['/', '?']).next().unwrap_or("");
            if authority.contains('@') {
                return Err("it holds user information");
            }
            let host = host(authority);
            if host.is_empty() {
                return Err("it names no host");
            }
            let local = is_loopback(host);
            if scheme == "http" && !local && !any_http {
                return Err("`http` is for loopback addresses only");
            }
            Ok(scheme == "http" && local)
        }
        scheme if scheme.contains('.') => Ok(true),
        _ => Err("a private-use scheme needs a dot (RFC 8252 §7.1)"),
    }
}

fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    }
}

/// Whether a host is this machine itself.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn redirect_uris() {
        assert_eq!(check("https://app.example/cb?x=1", false), Ok(false));
        assert_eq!(check("http://127.0.0.1:80/cb", false), Ok(true));
        assert_eq!(check("http://[::1]/cb", false), Ok(true));
        assert_eq!(check("com.example.app:/cb", false), Ok(true));
        assert_eq!(check("http://some-domain/endpoint/", true), Ok(false));
        for wrong in [
            "http://app.example/cb",
            "https://u@app.example/",
            "https://app.example/#x",
            "https://*.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "/cb",
            "app:/cb",
            "https:///cb",
        ] {
            assert!(check(wrong, false).is_err(), "{wrong}");
        }
    }
}
