//! A case file: what it may contain. A key that is not known here is an error.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::Mismatch;
use super::value::{Table, Value};

/// A whole case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is checked.
    pub title: String,
    /// Why it is right.
    pub note: Option<String>,
    /// Where the rule comes from.
    pub source: Option<String>,
    /// The text of the configuration file.
    pub config: Option<String>,
    /// Other files, name to text.
    #[serde(default)]
    pub files: Table,
    /// Symbolic links, name to target.
    #[serde(default)]
    pub links: Table,
    /// Names of listening ports.
    #[serde(default = "main_port")]
    pub ports: Vec<String>,
    /// Scripted peers.
    #[serde(default)]
    pub origins: BTreeMap<String, Origin>,
    /// Fresh keys, name to kind.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
    /// Fresh certificates, in the order in which one is signed by another.
    #[serde(default)]
    pub certs: Certificates,
    /// Tokens that placeholders name.
    #[serde(default)]
    pub jwts: BTreeMap<String, Token>,
    /// How the gateway is started.
    #[serde(default)]
    pub start: Start,
    /// What is done then, in order.
    #[serde(default)]
    pub step: Vec<Step>,
    /// The same text as it was read, for the parts whose placeholders are filled later.
    #[serde(skip)]
    pub raw: toml::Table,
}

fn main_port() -> Vec<String> {
    vec!["main".to_owned()]
}

impl Case {
    /// Reads a case file.
    pub fn read(path: &Path) -> Result<Self, Mismatch> {
        let text = std::fs::read_to_string(path)?;
        let mut case: Self = toml::from_str(&text)?;
        case.raw = toml::from_str(&text)?;
        Ok(case)
    }

    /// The part of the case under these keys, its placeholders as they were written.
    pub fn unfilled(&self, keys: &[&str]) -> Option<&toml::Value> {
        let (first, rest) = keys.split_first()?;
        rest.iter()
            .try_fold(self.raw.get(*first)?, |value, key| value.get(key))
    }
}

/// A scripted peer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What it answers; the first reply that fits is taken.
    pub reply: Option<Vec<Reply>>,
    /// The address it listens on.
    pub host: Option<String>,
    /// The certificate it shows.
    pub cert: Option<String>,
    /// The authority whose client certificates it asks for.
    pub client_ca: Option<String>,
}

/// One scripted reply.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// A pattern for the whole path.
    pub path: Option<String>,
    /// The method it answers.
    pub method: Option<String>,
    /// How often it may answer.
    pub times: Option<u64>,
    /// Request header fields it wants.
    #[serde(default)]
    pub if_headers: Table,
    /// Answers only while the origin is in this mode.
    pub mode: Option<String>,
    /// The status, 200 by default.
    pub status: Option<u16>,
    /// Header fields.
    #[serde(default)]
    pub headers: Table,
    /// The body.
    pub body: Option<String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// Answers with the request as JSON.
    #[serde(default)]
    pub echo: bool,
    /// How many times the body is repeated.
    pub times_body: Option<usize>,
    /// Exact bytes instead of an answer.
    pub raw: Option<Script>,
    /// Seconds before the answer.
    pub delay: Option<f64>,
    /// Closes the connection without an answer.
    #[serde(default)]
    pub close: bool,
    /// Closes the connection after the answer.
    pub then_close: Option<bool>,
    /// Answers before the body was read.
    #[serde(default)]
    pub early: bool,
}

/// Exact bytes, pauses, and waiting for what the peer says.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct Script(pub Vec<Act>);

/// One part of a [`Script`].
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends this; a character is a byte.
    Send(String),
    /// Seconds in which nothing is sent.
    Pause(f64),
    /// Reads until this text has come.
    Await(String),
}

impl TryFrom<Value> for Script {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::List(parts) => parts
                .into_iter()
                .map(Act::try_from)
                .collect::<Result<_, _>>()
                .map(Self),
            single => Ok(Self(vec![Act::try_from(single)?])),
        }
    }
}

impl TryFrom<Value> for Act {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self::Send(text)),
            Value::Integer(seconds) => u32::try_from(seconds)
                .map(|s| Self::Pause(s.into()))
                .map_err(|e| e.to_string()),
            Value::Float(seconds) => Ok(Self::Pause(seconds)),
            Value::Table(table) => only_member(&table, "await").map(Self::Await),
            other => Err(format!(
                "want a text, seconds or {{ await = … }}, found {other}"
            )),
        }
    }
}

/// The text of the one member that the table may have.
fn only_member(table: &Table, name: &str) -> Result<String, String> {
    if let Some((other, _)) = table.iter().find(|(known, _)| *known != name) {
        return Err(format!("unknown field `{other}`, expected `{name}`"));
    }
    match table.get(name) {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => Err(format!("`{name}` must be a text")),
    }
}

/// The certificates of a case in the order of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Certificates(pub Vec<(String, Certificate)>);

impl TryFrom<toml::Table> for Certificates {
    type Error = toml::de::Error;

    fn try_from(table: toml::Table) -> Result<Self, Self::Error> {
        table
            .into_iter()
            .map(|(name, value)| Ok((name, value.try_into()?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// One certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Whether it may sign others.
    #[serde(default)]
    pub ca: bool,
    /// The certificate that signs it; itself by default.
    pub issuer: Option<String>,
    /// Host names and addresses.
    #[serde(default)]
    pub names: Vec<String>,
    /// The common name; its own name by default.
    pub cn: Option<String>,
    /// How many days it is valid from now.
    pub days: Option<i64>,
}

/// A token to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The algorithm, HS256 by default.
    pub alg: Option<String>,
    /// A key's name, `file:NAME`, or a secret as it stands.
    #[serde(default)]
    pub key: String,
    /// Claims; `"+60"` is a minute from now.
    #[serde(default)]
    pub claims: Table,
    /// Header members besides `alg` and `typ`; an empty text removes one.
    #[serde(default)]
    pub header: Table,
    /// Claims with the hash of a text.
    #[serde(default)]
    pub hash: BTreeMap<String, String>,
    /// Puts the key into the header: `true`, or `"private"`.
    pub embed_jwk: Option<Value>,
    /// What is spoilt.
    pub tamper: Option<Tampering>,
}

/// How a token is spoilt.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tampering {
    /// The signature's end is another.
    Signature,
    /// The claims are others than those signed.
    Payload,
    /// The signature of an elliptic curve is written in ASN.1.
    Asn1,
}

/// How the gateway is started.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Further arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The level of its log, `info` by default.
    pub log_level: Option<String>,
    /// Must refuse the configuration.
    #[serde(default)]
    pub fails: bool,
    /// Must end with this status.
    pub exit: Option<i32>,
    /// Patterns over what it prints.
    #[serde(default)]
    pub output: Vec<String>,
    /// Ports to wait for.
    pub ready: Option<Vec<String>>,
    /// How long it may take.
    pub seconds: Option<f64>,
    /// A command that takes the place of running the server.
    pub verb: Option<String>,
}

/// One step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Method and target.
    pub request: Option<String>,
    /// The port's name; the first by default.
    pub port: Option<String>,
    /// The Host field; empty for none.
    pub host: Option<String>,
    /// Header fields.
    #[serde(default)]
    pub headers: Table,
    /// The body.
    pub body: Option<String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// A form as body.
    pub form: Option<Table>,
    /// A body of so many bytes.
    pub fill_body: Option<usize>,
    /// Sends the body in chunks.
    #[serde(default)]
    pub chunked: bool,
    /// The version of HTTP, "1.1" by default.
    pub version: Option<String>,
    /// Speaks TLS.
    #[serde(default)]
    pub tls: Tls,
    /// Sends the cookies that earlier answers set.
    #[serde(default)]
    pub cookies: bool,
    /// Seconds to wait for each byte.
    pub timeout: Option<f64>,
    /// Sends a form of the last page.
    pub submit: Option<Submit>,
    /// Follows redirects to the gateway's own ports.
    #[serde(default)]
    pub follow: bool,
    /// Exact bytes instead of a request.
    pub raw: Option<Script>,
    /// How long a raw exchange waits for further bytes.
    pub raw_seconds: Option<f64>,
    /// Finishes sending, then reads on.
    #[serde(default)]
    pub half_close: bool,
    /// How often the request is made.
    pub repeat: Option<usize>,
    /// How many such requests are made at once.
    pub parallel: Option<usize>,
    /// Seconds to try again until the expectations hold.
    pub until: Option<f64>,
    /// Seconds before the step.
    pub wait: Option<f64>,
    /// Seconds between the exchange and the checks.
    pub settle: Option<f64>,
    /// Files to write.
    #[serde(default)]
    pub write: Table,
    /// Symbolic links to set.
    #[serde(default)]
    pub links: Table,
    /// Modes of origins to set.
    #[serde(default)]
    pub mode: BTreeMap<String, String>,
    /// A signal for the gateway, without SIG.
    pub signal: Option<String>,
    /// Restarts the gateway.
    #[serde(default)]
    pub restart: bool,
    /// The signal that ends it before it is restarted.
    pub restart_with: Option<String>,
    /// The gateway must end with this status.
    pub exit: Option<i32>,
    /// Runs beside the next steps, under this name.
    pub background: Option<String>,
    /// Waits for the step of this name and checks it.
    pub join: Option<String>,
    /// What later steps need of the answer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// What must have come.
    #[serde(default)]
    pub expect: Expect,
}

/// Whether and how a step speaks TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Tls {
    /// It does not.
    #[default]
    Off,
    /// It does.
    On(TlsOptions),
}

/// Certificates of a step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The authority that must have signed the gateway's certificate.
    pub ca: Option<String>,
    /// The certificate to show.
    pub cert: Option<String>,
}

impl TryFrom<toml::Value> for Tls {
    type Error = toml::de::Error;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        match value {
            toml::Value::Boolean(false) => Ok(Self::Off),
            toml::Value::Boolean(true) => Ok(Self::On(TlsOptions::default())),
            other => other.try_into().map(Self::On),
        }
    }
}

/// A form to send.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// Fields to set; `false` leaves one out.
    #[serde(default)]
    pub fields: Table,
}

/// What must have come.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The status, or a list of those allowed.
    pub status: Option<OneOrMany<u16>>,
    /// Header fields.
    #[serde(default)]
    pub headers: Table,
    /// The body.
    pub body: Option<Value>,
    /// The JSON body, as a subset.
    pub json: Option<Value>,
    /// The JSON body, all of it.
    pub json_exact: Option<Value>,
    /// How a raw exchange ended.
    pub end: Option<OneOrMany<String>>,
    /// The latest time of the body's first byte.
    pub first_max_seconds: Option<f64>,
    /// The earliest end of the answer.
    pub min_seconds: Option<f64>,
    /// The latest end of the answer.
    pub max_seconds: Option<f64>,
    /// What origins have seen.
    #[serde(default)]
    pub origin: BTreeMap<String, Seen>,
    /// Log entries that must be there.
    #[serde(default)]
    pub log: Vec<Table>,
    /// Log entries that must not.
    #[serde(default)]
    pub no_log: Vec<Table>,
    /// Patterns for lines printed since the step began.
    #[serde(default)]
    pub output: Vec<String>,
    /// Patterns that no line printed matches.
    #[serde(default)]
    pub no_output: Vec<String>,
    /// Tokens in the answer.
    #[serde(default)]
    pub jwt: BTreeMap<String, WantedToken>,
    /// The parsed Location field.
    pub location: Option<Location>,
    /// How many answers of a parallel step had which status.
    pub tally: Option<BTreeMap<String, usize>>,
    /// Members that are equal in all answers of a parallel step.
    #[serde(default)]
    pub same: Vec<String>,
    /// Texts that the gateway wrote nowhere.
    #[serde(default)]
    pub nowhere: Vec<Secret>,
    /// File name patterns and the mode that all such files have.
    #[serde(default)]
    pub mode: BTreeMap<String, String>,
}

impl Expect {
    /// What is checked of each answer of a repeated step.
    #[must_use]
    pub fn of_each_repetition(&self) -> Self {
        Self {
            origin: BTreeMap::new(),
            log: Vec::new(),
            no_log: Vec::new(),
            ..self.clone()
        }
    }
}

/// A value or a list of allowed ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// Just this.
    One(T),
    /// Any of these.
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    /// Whether the value is allowed.
    pub fn allows(&self, value: &T) -> bool {
        match self {
            Self::One(one) => one == value,
            Self::Many(many) => many.contains(value),
        }
    }
}

/// What an origin has seen since the step began.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// So many requests.
    pub count: Option<usize>,
    /// At most so many.
    pub max_count: Option<usize>,
    /// Which of them is meant; the last by default, negative from the end.
    pub nth: Option<isize>,
    /// Its method.
    pub method: Option<Value>,
    /// Its target.
    pub target: Option<Value>,
    /// Its path.
    pub path: Option<Value>,
    /// Its query.
    pub query: Option<Value>,
    /// Its version.
    pub version: Option<Value>,
    /// Its header fields.
    pub headers: Option<Value>,
    /// Its trailer fields.
    pub trailers: Option<Value>,
    /// Its body.
    pub body: Option<Value>,
    /// Its body as a form.
    pub form: Option<Value>,
    /// Its body as JSON.
    pub json: Option<Value>,
    /// What came besides, in a raw reply.
    pub tunnel: Option<Value>,
    /// Whether the caller finished sending.
    pub eof: Option<Value>,
    /// Whether the caller left.
    pub gone: Option<Value>,
}

impl Seen {
    /// What is wanted of the one request.
    pub fn request(&self) -> Table {
        [
            ("method", &self.method),
            ("target", &self.target),
            ("path", &self.path),
            ("query", &self.query),
            ("version", &self.version),
            ("headers", &self.headers),
            ("trailers", &self.trailers),
            ("body", &self.body),
            ("form", &self.form),
            ("json", &self.json),
            ("tunnel", &self.tunnel),
            ("eof", &self.eof),
            ("gone", &self.gone),
        ]
        .into_iter()
        .filter_map(|(name, want)| Some((name, want.clone()?)))
        .collect()
    }
}

/// What a token in an answer must be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedToken {
    /// Members of its header.
    #[serde(default)]
    pub header: Table,
    /// Claims.
    #[serde(default)]
    pub claims: Table,
    /// Seconds between `iat` and `exp`.
    pub lifetime: Option<i64>,
    /// The text of a key set that must verify it.
    pub key_set: Option<String>,
}

/// What a Location field must be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// All before the query.
    pub url: Option<Value>,
    /// Fields of the query.
    pub query: Option<Value>,
    /// Fields of the fragment.
    pub fragment: Option<Value>,
}

/// A text that must be nowhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub enum Secret {
    /// The text itself.
    Plain(String),
    /// Fast hashes of the text.
    FastHashOf(String),
}

impl TryFrom<Value> for Secret {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self::Plain(text)),
            Value::Table(table) => only_member(&table, "fast_hash_of").map(Self::FastHashOf),
            other => Err(format!(
                "want a text or {{ fast_hash_of = … }}, found {other}"
            )),
        }
    }
}
