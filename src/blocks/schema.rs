//! Schema tables: what a block type may hold, as data.
//!
//! Decoding, suggestions for misspelt names, the reference pages and the editor schema all read
//! these tables. Each block type's table stands in the file of that block type.

use super::modifiers;

/// How many labels a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// None.
    None,
    /// One or none.
    Optional,
    /// Exactly one.
    Required,
    /// Any number.
    Any,
}

/// How often a block may stand in its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// At most once.
    Optional,
    /// Any number of times.
    Many,
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A duration: `300ms`, `1.5h`.
    Duration,
    /// A size: `64MiB`.
    Size,
    /// A list of strings.
    Strings,
    /// A list of numbers.
    Numbers,
    /// A string or a list of strings.
    StringOrStrings,
    /// An object.
    Object,
    /// A file or folder, relative to the configuration file.
    Path,
    /// Anything.
    Any,
}

impl Kind {
    /// The words for messages and reference pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Strings => "list of strings",
            Self::Numbers => "list of numbers",
            Self::StringOrStrings => "string or list of strings",
            Self::Object => "object",
            Self::Path => "path",
            Self::Any => "any value",
        }
    }
}

/// When an attribute's expression is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, when the configuration is loaded; knows `env`, `couper` and functions.
    Start,
    /// For each request; knows all variables.
    Request,
}

/// One attribute of a block type.
#[derive(Debug)]
pub struct AttributeSchema {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// When it is evaluated.
    pub when: When,
    /// Whether it must be there.
    pub required: bool,
    /// The default as text, empty without.
    pub default: &'static str,
    /// One sentence for the reference page.
    pub docs: &'static str,
    /// The values it may have; empty for any.
    pub one_of: &'static [&'static str],
    /// Whether zero is refused.
    pub positive: bool,
    /// The type of block whose label it holds.
    pub refers_to: Option<&'static str>,
    /// Set while this version lacks the attribute's run-time part: it is then refused.
    pub unavailable: bool,
}

impl AttributeSchema {
    const fn new(name: &'static str, kind: Kind, when: When, docs: &'static str) -> Self {
        Self {
            name,
            kind,
            when,
            required: false,
            default: "",
            docs,
            one_of: &[],
            positive: false,
            refers_to: None,
            unavailable: false,
        }
    }

    /// An attribute evaluated at start.
    pub const fn start(name: &'static str, kind: Kind, docs: &'static str) -> Self {
        Self::new(name, kind, When::Start, docs)
    }

    /// An attribute evaluated for each request.
    pub const fn request(name: &'static str, kind: Kind, docs: &'static str) -> Self {
        Self::new(name, kind, When::Request, docs)
    }

    /// Makes it required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// States its default.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    /// Names all values it may have.
    #[must_use]
    pub const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.one_of = values;
        self
    }

    /// Refuses zero.
    #[must_use]
    pub const fn positive(mut self) -> Self {
        self.positive = true;
        self
    }

    /// Says that it holds the label of a block of this type in `definitions`.
    #[must_use]
    pub const fn refers_to(mut self, kind: &'static str) -> Self {
        self.refers_to = Some(kind);
        self
    }

    /// Marks it as not available in this version.
    #[must_use]
    pub const fn unavailable(mut self) -> Self {
        self.unavailable = true;
        self
    }
}

/// One block type inside another.
#[derive(Clone, Copy, Debug)]
pub enum Child {
    /// A block type with its table.
    Block(&'static BlockSchema, Occurs),
    /// A block type whose run-time part this version lacks: checked, and refused.
    Later(&'static BlockSchema, Occurs),
}

impl Child {
    /// At most one such block.
    pub const fn optional(schema: &'static BlockSchema) -> Self {
        Self::Block(schema, Occurs::Optional)
    }

    /// Any number of such blocks.
    pub const fn many(schema: &'static BlockSchema) -> Self {
        Self::Block(schema, Occurs::Many)
    }

    /// Marks it as not available in this version.
    #[must_use]
    pub const fn unavailable(self) -> Self {
        match self {
            Self::Block(schema, occurs) => Self::Later(schema, occurs),
            Self::Later(..) => self,
        }
    }

    /// The block type's table.
    pub fn schema(&self) -> &'static BlockSchema {
        match self {
            Self::Block(schema, _) | Self::Later(schema, _) => schema,
        }
    }

    /// How often it may stand in its parent.
    pub fn occurs(&self) -> Occurs {
        match self {
            Self::Block(_, occurs) | Self::Later(_, occurs) => *occurs,
        }
    }

    /// Whether this version lacks its run-time part.
    pub fn is_unavailable(&self) -> bool {
        !matches!(self, Self::Block(..))
    }

    /// The block type's name.
    pub fn name(&self) -> &'static str {
        self.schema().name
    }
}

/// Two lists of blocks as one; `N` is the sum of their lengths, and neither is empty.
pub(super) const fn join<const N: usize>(first: &[Child], second: &[Child]) -> [Child; N] {
    let mut all = [first[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() {
            first[at]
        } else {
            second[at - first.len()]
        };
        at += 1;
    }
    all
}

/// A block type.
#[derive(Debug)]
pub struct BlockSchema {
    /// Its name.
    pub name: &'static str,
    /// Its labels.
    pub labels: Labels,
    /// Its own attributes.
    pub attributes: &'static [AttributeSchema],
    /// Groups of attributes that it shares with other block types.
    pub groups: &'static [&'static [AttributeSchema]],
    /// The blocks in it.
    pub blocks: &'static [Child],
    /// What holds between its parts.
    pub rules: &'static [Rule],
    /// What it is for, in Markdown.
    pub docs: &'static str,
    /// A whole configuration that shows it.
    pub example: &'static str,
}

/// What holds between the parts of a block; a part is the name of an attribute, or `name {}` for a
/// block. Checked while a block's own reader is missing, and shown on its reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// They exclude one another.
    OneOf(&'static [&'static str]),
    /// At least one must be there.
    AnyOf(&'static [&'static str]),
    /// The first needs one of the others.
    Needs(&'static str, &'static [&'static str]),
}

impl BlockSchema {
    /// A table without content, to be completed: `..BlockSchema::EMPTY`.
    pub const EMPTY: Self = Self {
        name: "",
        labels: Labels::None,
        attributes: &[],
        groups: &[],
        blocks: &[],
        rules: &[],
        docs: "",
        example: "",
    };

    /// All attributes, shared ones included.
    pub fn attributes(&self) -> impl Iterator<Item = &'static AttributeSchema> {
        let shared = self.groups.iter().flat_map(|group| group.iter());
        self.attributes.iter().chain(shared)
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&'static AttributeSchema> {
        self.attributes().find(|attribute| attribute.name == name)
    }

    /// The block type of that name inside this one.
    pub fn block(&self, name: &str) -> Option<&'static Child> {
        self.blocks.iter().find(|child| child.name() == name)
    }
}

/// Attributes that guard a place; shared by `server`, `api`, `endpoint`, `files` and `spa`.
pub static ACCESS_CONTROL: &[AttributeSchema] = &[
    AttributeSchema::start(
        "access_control",
        Kind::Strings,
        "Access controls of `definitions` that guard this place, in order, after those inherited.",
    ),
    AttributeSchema::start(
        "disable_access_control",
        Kind::Strings,
        "Inherited access controls that do not apply here.",
    ),
];

/// `custom_log_fields`.
pub static LOG_FIELDS: &[AttributeSchema] = &[AttributeSchema::request(
    "custom_log_fields",
    Kind::Object,
    "Fields for the `custom` object of the log entry.",
)];

/// Response header modifiers.
pub static RESPONSE_HEADERS: &[AttributeSchema] = modifiers::RESPONSE_HEADERS;
/// Request header modifiers.
pub static REQUEST_HEADERS: &[AttributeSchema] = modifiers::REQUEST_HEADERS;
/// Query modifiers.
pub static QUERY_PARAMS: &[AttributeSchema] = modifiers::QUERY_PARAMS;
/// Form modifiers.
pub static FORM_PARAMS: &[AttributeSchema] = modifiers::FORM_PARAMS;
