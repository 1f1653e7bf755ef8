//! `gateway as …`: what is done to the store of an authorization server from the command line.

use super::{as_store, as_transfer, report, run};
use crate::config::{self, Options};
use crate::runtime::Tree;
use crate::store::foreign::Product;
use crate::store::transfer::Mode;
use crate::store::{RevocationKind, Storage};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Bring the schema up to date.
    Migrate,
    /// Copy the database.
    Backup(PathBuf),
    /// Put a copy in its place.
    Restore(PathBuf),
    /// Write everything as lines of JSON.
    Export(PathBuf),
    /// Take over lines of JSON, or what another product wrote down.
    Import {
        /// From which product; `None`: an export of a gateway.
        product: Option<Product>,
        /// From where.
        file: PathBuf,
        /// For which authorization server.
        server: Option<String>,
        /// What happens to what is there.
        mode: Mode,
        /// Only tell.
        dry_run: bool,
    },
    /// Seal everything under the first key.
    Rekey,
    /// End tokens.
    Revoke {
        /// What it hits.
        kind: RevocationKind,
        /// The key.
        value: String,
        /// At which authorization server.
        server: Option<String>,
    },
    /// Check the audit chain.
    AuditVerify,
}

fn file(about: &'static str) -> Arg {
    Arg::new("path")
        .value_name("FILE")
        .required(true)
        .help(about)
}

fn server() -> Arg {
    Arg::new("server")
        .long("server")
        .value_name("LABEL")
        .help("Authorization server, if the configuration has several")
}

/// The subcommands, each with the options that find a configuration.
pub(super) fn command(with_inputs: fn(clap::Command) -> clap::Command) -> clap::Command {
    let task = |name: &'static str, about: &'static str| {
        with_inputs(clap::Command::new(name).about(about))
    };
    let kinds = RevocationKind::ALL.map(RevocationKind::as_str);
    let import = task(
        "import",
        "Take over an export, or what another product wrote down",
    )
    .arg(
        Arg::new("source")
            .value_name("[PRODUCT] FILE")
            .num_args(1..=2)
            .required(true)
            .help("`kong`, `keycloak`, `hydra` or `otoroshi` before the file for theirs"),
    )
    .arg(server())
    .arg(
        Arg::new("mode")
            .long("mode")
            .value_parser(PossibleValuesParser::new(["merge", "replace"]))
            .default_value("merge")
            .help("Whether what is there stays or is replaced"),
    )
    .arg(
        Arg::new("dry-run")
            .long("dry-run")
            .action(ArgAction::SetTrue)
            .help("Change nothing, only tell"),
    );
    clap::Command::new("as")
        .about("Look after the store of the authorization server")
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommand(task("migrate", "Bring the database up to date"))
        .subcommand(
            task("backup", "Copy the database, also while a gateway runs")
                .arg(file("The copy; it must not exist")),
        )
        .subcommand(task("restore", "Put a copy in place of the database").arg(file("The copy")))
        .subcommand(
            task("export", "Write everything as lines of JSON")
                .arg(file("The file, or `-` for standard output")),
        )
        .subcommand(import)
        .subcommand(task(
            "rekey",
            "Seal everything under the first encryption key",
        ))
        .subcommand(
            task(
                "revoke",
                "End all tokens of a client, user, grant or issuer, or one token",
            )
            .arg(
                Arg::new("kind")
                    .required(true)
                    .value_parser(PossibleValuesParser::new(kinds))
                    .help("What it hits"),
            )
            .arg(Arg::new("value").required(true).help("Its name or id"))
            .arg(server()),
        )
        .subcommand(task(
            "audit-verify",
            "Check that no entry of the audit chain is missing",
        ))
}

impl Task {
    /// The task of a subcommand.
    pub(super) fn of(name: &str, matches: &ArgMatches) -> Result<Self, String> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let path = || PathBuf::from(text("path").unwrap_or_default());
        Ok(match name {
            "migrate" => Self::Migrate,
            "backup" => Self::Backup(path()),
            "restore" => Self::Restore(path()),
            "export" => Self::Export(path()),
            "rekey" => Self::Rekey,
            "revoke" => Self::Revoke {
                kind: text("kind")
                    .and_then(|kind| RevocationKind::of(&kind))
                    .ok_or("unknown kind")?,
                value: text("value").unwrap_or_default(),
                server: text("server"),
            },
            "import" => {
                let source = matches.get_many::<String>("source").into_iter().flatten();
                let source: Vec<&String> = source.collect();
                let (product, file) = match source[..] {
                    [file] => (None, file),
                    [product, file] => {
                        let known = Product::of(product).ok_or_else(|| {
                            format!(
                                "unknown product `{product}`; known are kong, keycloak, hydra, otoroshi\n"
                            )
                        })?;
                        (Some(known), file)
                    }
                    _ => return Err("a file is missing".into()),
                };
                Self::Import {
                    product,
                    file: file.into(),
                    server: text("server"),
                    mode: match text("mode").as_deref() {
                        Some("replace") => Mode::Replace,
                        _ => Mode::Merge,
                    },
                    dry_run: matches.get_flag("dry-run"),
                }
            }
            _ => Self::AuditVerify,
        })
    }
}

/// What a task works on.
pub(super) struct Place {
    pub(super) tree: Arc<Tree>,
    pub(super) storage: Storage,
}

impl Place {
    /// The label of the one server, or the one that was asked for.
    pub(super) fn server(&self, wanted: Option<&str>) -> Result<String, String> {
        let servers = &self.tree.authorization_servers;
        let labels: Vec<&str> = servers.iter().map(|server| &*server.label).collect();
        match (wanted, &labels[..]) {
            (None, [only]) => Ok((*only).to_owned()),
            (Some(wanted), labels) if labels.contains(&wanted) => Ok(wanted.to_owned()),
            (Some(wanted), _) => Err(format!("there is no authorization server `{wanted}`")),
            (None, []) => Err("the configuration has no authorization server".into()),
            (None, labels) => Err(format!("say which with --server: {}", labels.join(", "))),
        }
    }
}

/// Runs a task; what it did goes to standard error.
pub(super) fn run(options: &Options, task: &Task) -> ExitCode {
    let loaded = config::load(options);
    let sink = run::open_log(&loaded.log);
    report::findings(&loaded, report::default_format(&loaded));
    let outcome = match loaded.tree {
        None => Err("the configuration is faulty".to_owned()),
        Some(tree) => match tree.storage().cloned() {
            None => Err("the configuration has no `storage`".to_owned()),
            Some(storage) => perform(&Place { tree, storage }, task),
        },
    };
    run::close_log(sink, Duration::from_secs(5));
    match outcome {
        Ok(done) => {
            let _ = writeln!(std::io::stderr(), "{done}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn perform(place: &Place, task: &Task) -> Result<String, String> {
    match task {
        Task::Migrate => as_store::migrate(place),
        Task::Backup(to) => as_store::backup(place, to),
        Task::Restore(from) => as_store::restore(place, from),
        Task::Rekey => as_store::rekey(place),
        Task::AuditVerify => as_store::audit_verify(place),
        Task::Revoke {
            kind,
            value,
            server,
        } => as_store::revoke(place, *kind, value, server.as_deref()),
        Task::Export(to) => as_transfer::export(place, to),
        Task::Import {
            product,
            file,
            server,
            mode,
            dry_run,
        } => {
            let wanted = as_transfer::Wanted {
                server: server.as_deref(),
                mode: *mode,
                dry_run: *dry_run,
            };
            as_transfer::import(place, *product, file, wanted)
        }
    }
}
