//! `endpoints`: paths in place of those of the layout.
//!
//! ```hcl
//! endpoints {
//!   token = ["/tok", "/token"]
//! }
//! ```

use crate::blocks::path::{has_dot_segment, join};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::oauth::server::paths::{Endpoint, Layout, Paths};
use crate::oauth::server::{Dialect, Grant};

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "endpoints",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("token", Kind::StringOrStrings, "The token endpoint."),
        AttributeSchema::start(
            "authorize",
            Kind::StringOrStrings,
            "The authorization endpoint.",
        ),
        AttributeSchema::start("introspect", Kind::StringOrStrings, "Introspection."),
        AttributeSchema::start("revoke", Kind::StringOrStrings, "Revocation."),
        AttributeSchema::start("jwks", Kind::StringOrStrings, "The key set."),
        AttributeSchema::start(
            "par",
            Kind::StringOrStrings,
            "Pushed authorization requests.",
        ),
        AttributeSchema::start("device", Kind::StringOrStrings, "Device authorization."),
        AttributeSchema::start(
            "device_page",
            Kind::StringOrStrings,
            "Where users enter codes of devices.",
        ),
        AttributeSchema::start("userinfo", Kind::StringOrStrings, "Userinfo."),
        AttributeSchema::start("register", Kind::StringOrStrings, "Registration."),
        AttributeSchema::start("login", Kind::StringOrStrings, "The login page."),
        AttributeSchema::start("consent", Kind::StringOrStrings, "The consent page."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Paths in place of those of the layout, relative to `base_path`. Of several the first one is advertised; an empty one switches the endpoint off.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    endpoints {
      token  = ["/oauth/token", "/token"]
      revoke = ""
    }
    client "worker" {
      client_secret = env.WORKER_SECRET
    }
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#,
};

/// Every address that the block and the layout give, and the base path.
pub(super) fn read(reader: Reader<'_>) -> (Vec<(Endpoint, String)>, String) {
    let base = reader.string("base_path");
    crate::blocks::server::check_base_path(reader, base.as_ref());
    let base = join(base.as_ref().map_or("", |base| &base.value), "");
    let layout = reader
        .one_of("layout")
        .and_then(|name| Layout::of(&name.value))
        .or_else(|| Layout::of("default"));
    let block = reader.inner("endpoints");
    let inner = block.map(|block| Reader::new(reader.cx, block, &SCHEMA));
    let mut paths = Vec::new();
    for endpoint in Endpoint::ALL {
        let given = inner.and_then(|inner| inner.strings(endpoint.attribute()));
        let Some(given) = given else {
            let preset = layout.and_then(|layout| layout.path(endpoint));
            paths.extend(preset.map(|path| (endpoint, join(&base, path))));
            continue;
        };
        for path in given.value.iter().filter(|path| !path.value.is_empty()) {
            let sound = path.value.starts_with('/')
                && !has_dot_segment(&path.value)
                && !path
                    .value
                    .contains(['{', '}', '*', '?', '#', '%', ' ', '"', '\\']);
            if sound {
                paths.push((endpoint, join(&base, &path.value)));
            } else {
                let message = format!("`{}` is no path that can be served", path.value);
                reader.bad_value(path.span, message);
            }
        }
    }
    (paths, base)
}

/// The addresses that are in use, with those of the metadata.
pub(super) fn with_discovery(
    all: Vec<(Endpoint, String)>,
    issuer: &str,
    dialect: &Dialect,
    grants: &[Grant],
) -> Paths {
    let mut paths = Paths::default();
    for (endpoint, path) in all {
        if is_on(endpoint, grants) {
            paths.add(endpoint, path);
        }
    }
    let rest = issuer.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let path = path.trim_end_matches('/');
    let mut documents = vec![
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if dialect.metadata_below_issuer {
        documents.push(format!("{path}/.well-known/oauth-authorization-server"));
    }
    let mut known: Vec<String> = Vec::new();
    for document in documents {
        if !known.contains(&document) {
            paths.add(Endpoint::Discovery, document.clone());
            known.push(document);
        }
    }
    paths
}

/// Whether an endpoint has anything to do.
fn is_on(endpoint: Endpoint, grants: &[Grant]) -> bool {
    match endpoint {
        Endpoint::Token
        | Endpoint::Introspect
        | Endpoint::Revoke
        | Endpoint::Jwks
        | Endpoint::Discovery => true,
        Endpoint::Authorize => {
            grants.contains(&Grant::AuthorizationCode) || grants.contains(&Grant::Implicit)
        }
        Endpoint::Par
        | Endpoint::Device
        | Endpoint::DevicePage
        | Endpoint::Userinfo
        | Endpoint::Register
        | Endpoint::Login
        | Endpoint::Consent => false,
    }
}
