//! From files to a compiled tree: the steps of loading, in order.
//!
//! Syntax errors end the load; all later steps go on as far as they can without guessing, so that
//! one run reports every fault.

mod print;

pub use print::effective;

use crate::blocks::access::login::Logins;
use crate::blocks::backend::Outbound;
use crate::blocks::jwt_signing_profile::Profiles;
use crate::blocks::server::Server;
use crate::blocks::settings::{LogSettings, Overrides, Settings};
use crate::blocks::{Context, Definitions, ROOT, Reader, defaults, server, settings};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceId, SourceMap, Span, code};
use crate::expr::Registry;
use crate::hcl::{self, Block, Body, Document, Input, Name};
use crate::runtime::Tree;
use crate::runtime::kept::Kept;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-f` and `-d`, in order.
    pub inputs: Vec<Input>,
    /// `-e`
    pub environment: Option<String>,
    /// Options that stand for settings, by the setting's name.
    pub settings: BTreeMap<String, String>,
    /// The process environment.
    pub env: BTreeMap<String, String>,
}

impl Options {
    fn overrides(&self) -> Overrides<'_> {
        Overrides {
            options: &self.settings,
            env: &self.env,
        }
    }

    fn variable(&self, name: &str) -> Option<&String> {
        self.env.get(name).filter(|value| !value.is_empty())
    }

    /// The files to read: options, else variables, else `couper.hcl`.
    fn inputs(&self) -> Vec<Input> {
        if !self.inputs.is_empty() {
            return self.inputs.clone();
        }
        let file = self
            .variable("COUPER_FILE")
            .map(|path| Input::File(path.into()));
        let folder = self
            .variable("COUPER_FILE_DIRECTORY")
            .map(|path| Input::Folder(path.into()));
        let inputs: Vec<Input> = file.into_iter().chain(folder).collect();
        if inputs.is_empty() {
            vec![Input::File("couper.hcl".into())]
        } else {
            inputs
        }
    }

    fn environment(&self) -> Option<&str> {
        let option = self.environment.as_ref().filter(|name| !name.is_empty());
        self.variable("COUPER_ENVIRONMENT")
            .or(option)
            .map(String::as_str)
    }
}

/// The outcome of a load.
#[derive(Debug)]
pub struct Loaded {
    /// The tree, unless there are errors.
    pub tree: Option<Arc<Tree>>,
    /// Log settings, as far as they are known.
    pub log: LogSettings,
    /// The environment chosen by option or variable.
    pub environment: Option<String>,
    /// Files that attributes name, also those that cannot be read.
    pub files: Vec<PathBuf>,
    /// All findings.
    pub diagnostics: Diagnostics,
    /// The texts that the findings point into.
    pub sources: SourceMap,
}

/// The files and folders that a configuration is read from, as they are now.
pub fn paths(options: &Options) -> Vec<PathBuf> {
    hcl::paths(&options.inputs())
}

/// The settings alone, as far as they can be read; nothing else is looked at.
pub fn settings(options: &Options) -> Option<Settings> {
    let mut diagnostics = Diagnostics::default();
    let inputs = options.inputs();
    let is_there = |input: &Input| match input {
        Input::File(path) | Input::Folder(path) => path.exists(),
    };
    let files = if options.inputs.is_empty() && !inputs.iter().any(is_there) {
        // Options and variables can say all that there is to know.
        hcl::Files::default()
    } else {
        hcl::load(&inputs, &mut diagnostics)
    };
    let chosen = options.environment().map(str::to_owned);
    let chosen = chosen.or_else(|| environment_of_settings(&files.bodies, &files.sources));
    let environment = chosen.unwrap_or_default();
    let document = assemble(files.bodies, &environment, &mut diagnostics);
    let functions = Registry::standard();
    let cx = Context::new(&files.sources, &options.env, &environment, &functions);
    let block = settings_block(&document);
    let reader = Reader::quiet(&cx, &block, &settings::SCHEMA);
    let settings = Settings::read(reader, options.overrides());
    (!diagnostics.has_errors()).then_some(settings)
}

/// Loads a configuration.
pub fn load(options: &Options) -> Loaded {
    reload(options, Kept::default())
}

/// Loads a configuration anew; state of an earlier load stays in use where it fits.
pub fn reload(options: &Options, before: Kept) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let files = hcl::load(&options.inputs(), &mut diagnostics);
    let chosen = options.environment().map(str::to_owned);
    let mut loaded = Loaded {
        tree: None,
        log: options.overrides().log(),
        environment: chosen.clone(),
        files: Vec::new(),
        diagnostics: Diagnostics::default(),
        sources: files.sources,
    };
    if !diagnostics.has_errors() {
        let chosen = chosen.or_else(|| environment_of_settings(&files.bodies, &loaded.sources));
        let environment = chosen.unwrap_or_default();
        let document = assemble(files.bodies, &environment, &mut diagnostics);
        build(
            options,
            &document,
            &environment,
            before,
            &mut loaded,
            &mut diagnostics,
        );
    }
    loaded.diagnostics = diagnostics;
    if loaded.diagnostics.has_errors() {
        loaded.tree = None;
    }
    loaded
}

/// `settings.environment`, a plain string.
fn environment_of_settings(files: &[(SourceId, Body)], sources: &SourceMap) -> Option<String> {
    let (env, functions) = (BTreeMap::new(), Registry::standard());
    let cx = Context::new(sources, &env, "", &functions);
    let settings = files
        .iter()
        .flat_map(|(_, body)| body.blocks_of("settings"));
    let attributes = settings.filter_map(|block| block.body.attribute("environment"));
    let last = attributes.last()?;
    cx.start_value_quietly(last)?
        .as_str()
        .map(str::to_owned)
        .filter(|name| !name.is_empty())
}

fn assemble(
    mut files: Vec<(SourceId, Body)>,
    environment: &str,
    diagnostics: &mut Diagnostics,
) -> Document {
    for (_, body) in &mut files {
        hcl::environment::apply(body, environment, diagnostics);
    }
    hcl::merge(files, diagnostics)
}

fn build(
    options: &Options,
    document: &Document,
    environment: &str,
    before: Kept,
    loaded: &mut Loaded,
    diagnostics: &mut Diagnostics,
) {
    let sources = &loaded.sources;
    let profiles = Profiles::default();
    profiles.know(&document.definitions);
    let mut functions = Registry::standard();
    functions.register(profiles.function());
    let logins = Logins::default();
    for function in logins.functions() {
        functions.register(function);
    }

    let real = Context::new(sources, &options.env, environment, &functions);
    let mut env = defaults::environment_variables(&real, &document.defaults);
    diagnostics.extend(real.finish().diagnostics);
    env.extend(
        options
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );

    let cx = Context::new(sources, &env, environment, &functions).taking_over(before);
    report_strays(&cx, document);
    let block = settings_block(document);
    let reader = Reader::new(&cx, &block, &settings::SCHEMA);
    let settings = Settings::read(reader, options.overrides());
    loaded.log = settings.log.clone();
    cx.switch_metrics(settings.observe.metrics.is_some());

    let outbound = Outbound::new(&cx, &settings, &options.env);
    let definitions = Definitions::new(&cx, document, settings.default_port, &outbound);
    let alone = document.servers.len() < 2;
    let servers: Vec<Server> = document
        .servers
        .iter()
        .map(|block| {
            let reader = Reader::new(&cx, block, &server::SCHEMA);
            Server::read(reader, &settings, &definitions, alone)
        })
        .collect();
    if servers.is_empty() {
        let message = "missing `server` block: there is nothing to serve";
        cx.report(Diagnostic::error(code::MISSING, None, message));
    }
    definitions.read_all(&profiles);
    logins.fill(definitions.logins());
    let jobs = definitions.jobs();
    let servers_of_tokens = definitions.authorization_servers();
    let admin = definitions.admin();
    let backing = definitions.backing();
    let (remotes, backends) = (definitions.remotes(), definitions.backends());
    drop(definitions);
    drop(outbound);
    let findings = cx.finish();
    diagnostics.extend(findings.diagnostics);
    loaded.files = findings.files;
    let mut tree = Tree::build(settings, servers, sources.clone(), diagnostics);
    tree.kept = findings.kept;
    tree.jobs = jobs;
    tree.remotes = remotes;
    tree.backends = backends;
    tree.authorization_servers = servers_of_tokens;
    tree.backing = Some(backing);
    tree.admin = admin;
    loaded.tree = Some(Arc::new(tree));
}

fn settings_block(document: &Document) -> Block {
    Block {
        kind: Name {
            text: "settings".into(),
            span: start_of(&document.settings),
        },
        labels: Vec::new(),
        body: document.settings.clone(),
    }
}

fn start_of(body: &Body) -> Span {
    let first = body.attributes.first().map(|attribute| attribute.name.span);
    first.unwrap_or(Span::new(SourceId(0), 0..0))
}

/// What stands at the top of a file and does not belong there.
fn report_strays(cx: &Context<'_>, document: &Document) {
    for attribute in &document.strays.attributes {
        let message = format!(
            "attribute `{}` at the top of a file has no effect",
            attribute.name.text
        );
        cx.report(Diagnostic::warning(
            code::NO_EFFECT,
            attribute.name.span,
            message,
        ));
    }
    for attribute in &document.definitions.attributes {
        let message = format!(
            "attribute `{}` in `definitions` has no effect",
            attribute.name.text
        );
        cx.report(Diagnostic::warning(
            code::NO_EFFECT,
            attribute.name.span,
            message,
        ));
    }
    let blocks = Body {
        attributes: Vec::new(),
        blocks: [document.strays.blocks.as_slice(), &document.singles].concat(),
    };
    crate::blocks::reader::check_body(cx, &blocks, &ROOT, start_of(&blocks));
}
