//! Blocks of an authorization server whose run-time part this version lacks: their tables, so that
//! they are checked and refused by name.

use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};

const EXAMPLE: &str = r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
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
"#;

pub(super) static LOGIN: BlockSchema = BlockSchema {
    name: "login",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "access_control",
            Kind::Strings,
            "Access controls that say who the user is.",
        ),
        AttributeSchema::request("subject", Kind::String, "The user's id."),
        AttributeSchema::start("users", Kind::String, "Where users are kept.").one_of(&["store"]),
        AttributeSchema::start("page_file", Kind::Path, "Template of the page."),
        AttributeSchema::start("style_file", Kind::Path, "Style sheet of the pages."),
        AttributeSchema::start("logo_file", Kind::Path, "Logo of the pages."),
        AttributeSchema::start("title", Kind::String, "Title of the pages."),
        AttributeSchema::start("languages", Kind::Strings, "Languages of the pages."),
        AttributeSchema::start(
            "max_attempts",
            Kind::Number,
            "Failed attempts before a lock-out.",
        )
        .default("10"),
        AttributeSchema::start("lockout", Kind::Duration, "How long that lasts.").default("15m"),
    ],
    docs: "The built-in pages on which users log in.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static CONSENT: BlockSchema = BlockSchema {
    name: "consent",
    attributes: &[
        AttributeSchema::start("page_file", Kind::Path, "Template of the page."),
        AttributeSchema::start(
            "remember",
            Kind::Duration,
            "How long users are not asked again.",
        )
        .default("720h"),
        AttributeSchema::start(
            "skip_for_trusted",
            Kind::Bool,
            "Users are not asked about trusted clients.",
        )
        .default("true"),
    ],
    docs: "The page on which users allow what a client asks for.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static DEVICE: BlockSchema = BlockSchema {
    name: "device",
    attributes: &[
        AttributeSchema::start(
            "user_code_charset",
            Kind::String,
            "Letters of codes that users enter.",
        )
        .default("BCDFGHJKLMNPQRSTVWXZ"),
        AttributeSchema::start("user_code_length", Kind::Number, "How many.").default("8"),
        AttributeSchema::start("interval", Kind::Duration, "How often a device may ask.")
            .default("5s"),
    ],
    docs: "The device grant (RFC 8628).",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static REGISTRATION: BlockSchema = BlockSchema {
    name: "registration",
    attributes: &[
        AttributeSchema::start(
            "initial_access_tokens",
            Kind::Strings,
            "Tokens that let a client register.",
        ),
        AttributeSchema::start("open", Kind::Bool, "Anybody may register.").default("false"),
        AttributeSchema::start(
            "allowed_scopes",
            Kind::Strings,
            "Scopes that clients may ask for.",
        ),
        AttributeSchema::start(
            "allowed_redirect_hosts",
            Kind::Strings,
            "Hosts that users may be sent to.",
        ),
        AttributeSchema::start(
            "unused_after",
            Kind::Duration,
            "When a client that never asked for a token is removed.",
        )
        .default("1h"),
        AttributeSchema::start(
            "max_clients",
            Kind::Number,
            "How many clients there may be.",
        )
        .default("10000"),
    ],
    docs: "Dynamic registration of clients (RFC 7591, RFC 7592).",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static HOOK: BlockSchema = BlockSchema {
    name: "hook",
    attributes: &[
        AttributeSchema::start("url", Kind::String, "Whom to ask."),
        AttributeSchema::start("backend", Kind::String, "Backend of the request.")
            .refers_to("backend"),
        AttributeSchema::start("timeout", Kind::Duration, "Longest wait.").default("1s"),
        AttributeSchema::start("on_error", Kind::String, "What an error means.")
            .one_of(&["deny", "allow"])
            .default("deny"),
    ],
    docs: "Asks before a token is issued.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static TRUSTED_ISSUER: BlockSchema = BlockSchema {
    name: "trusted_issuer",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("issuer", Kind::String, "Its `iss`.").required(),
        AttributeSchema::start("jwks_uri", Kind::String, "Where its keys are."),
        AttributeSchema::start("jwks_file", Kind::Path, "File with its keys."),
        AttributeSchema::start(
            "audience",
            Kind::StringOrStrings,
            "`aud` of its assertions.",
        ),
        AttributeSchema::start("subject_claim", Kind::String, "Claim with the user.")
            .default("sub"),
        AttributeSchema::start("allowed_clients", Kind::Strings, "Clients that may use it."),
        AttributeSchema::start("scopes", Kind::Strings, "Scopes that it may lead to."),
        AttributeSchema::start("max_ttl", Kind::Duration, "Longest lifetime of a token."),
    ],
    docs: "An issuer whose assertions stand for users (RFC 7523).",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

static ALLOW: BlockSchema = BlockSchema {
    name: "allow",
    attributes: &[
        AttributeSchema::start("client", Kind::String, "Which client.").required(),
        AttributeSchema::start(
            "subject_token_types",
            Kind::Strings,
            "What it may exchange.",
        ),
        AttributeSchema::start("audiences", Kind::Strings, "For whom."),
        AttributeSchema::start("scopes", Kind::Strings, "Scopes that it may get."),
        AttributeSchema::start("actor", Kind::String, "Whether it names an actor.")
            .one_of(&["required", "optional", "none"]),
    ],
    docs: "One thing that may be exchanged.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static TOKEN_EXCHANGE: BlockSchema = BlockSchema {
    name: "token_exchange",
    blocks: &[crate::blocks::schema::Child::many(&ALLOW)],
    docs: "Which tokens may be exchanged (RFC 8693).",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

pub(super) static CLIENT_CREDENTIALS: BlockSchema = BlockSchema {
    name: "client_credentials",
    attributes: &[AttributeSchema::start(
        "reuse",
        Kind::String,
        "Share of a token's life that must be left for it to be handed out again.",
    )],
    docs: "Hands out a token again while enough of its life is left.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};
