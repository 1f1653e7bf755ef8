//! Resource indicators (RFC 8707): what a token is for.

use super::Server;
use super::client::Client;
use super::fault::{Condition, Fault};
use super::parameters::Parameters;
use super::scope::Names;

/// Whether two resources are the same: scheme and host in any case, everything else exactly.
pub(super) fn same(a: &str, b: &str) -> bool {
    match (split(a), split(b)) {
        (Some((origin_a, rest_a)), Some((origin_b, rest_b))) => {
            origin_a.eq_ignore_ascii_case(origin_b) && rest_a == rest_b
        }
        _ => a == b,
    }
}

fn split(uri: &str) -> Option<(&str, &str)> {
    let start = uri.find("://")? + 3;
    let end = uri[start..]
        .find(['/', '?', '#'])
        .map_or(uri.len(), |at| start + at);
    Some((&uri[..end], &uri[end..]))
}

/// Whether text is an absolute URI without a fragment.
fn is_resource(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let sound = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(sound)
        && text.len() > scheme.len() + 1
        && !text.contains('#')
        && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

impl Server {
    /// The audience of a client's tokens for nothing in particular.
    pub(super) fn own_audience<'s>(&'s self, client: &'s Client) -> &'s [String] {
        client.audience.as_deref().unwrap_or(&self.audience)
    }

    /// The resources that a request names, if the client may ask for each.
    pub(super) fn resources(
        &self,
        client: &Client,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<String>, Fault> {
        let mut found: Vec<String> = Vec::new();
        for asked in parameters.all("resource") {
            let allowed = client
                .allowed_resources
                .iter()
                .chain(self.own_audience(client))
                .find(|allowed| is_resource(asked) && same(allowed, asked));
            let Some(allowed) = allowed else {
                return Err(Fault::about(Condition::Target, asked));
            };
            if !found.contains(allowed) {
                found.push(allowed.clone());
            }
        }
        Ok(found)
    }

    /// `aud`: the resources asked for, else those of the scopes, else the default.
    pub(super) fn audience_for(
        &self,
        client: &Client,
        resources: &[String],
        scope: &Names,
    ) -> Vec<String> {
        if !resources.is_empty() {
            return resources.to_vec();
        }
        let mut audience: Vec<String> = Vec::new();
        for name in scope {
            let added = self.scope(name).map_or(&[][..], |scope| &scope.audience);
            for resource in added {
                if !audience.contains(resource) {
                    audience.push(resource.clone());
                }
            }
        }
        if audience.is_empty() {
            audience.extend_from_slice(self.own_audience(client));
        }
        audience
    }
}

/// The resources of a grant, or those of them that a request names.
pub(super) fn narrowed_resources(
    granted: &[String],
    parameters: &Parameters<'_>,
) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    for asked in parameters.all("resource") {
        let known = granted.iter().find(|known| same(known, asked));
        let known = known.ok_or_else(|| Fault::about(Condition::Target, asked))?;
        found.push(known.clone());
    }
    Ok(if found.is_empty() {
        granted.to_vec()
    } else {
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_host_have_no_case() {
        assert!(same("HTTPS://A.example/x", "https://a.example/x"));
        assert!(!same("https://a.example/X", "https://a.example/x"));
        assert!(same("https://a.example", "https://A.EXAMPLE"));
        assert!(!same("https://a.example", "https://a.example/"));
        assert!(is_resource("urn:a:b") && is_resource("https://a"));
        for wrong in ["files", "https://a#b", "", ":", "1a:b", "a: b"] {
            assert!(!is_resource(wrong), "{wrong}");
        }
    }
}
