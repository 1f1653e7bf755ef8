//! Arguments. Options that mirror settings come from the table of `settings`; long options may
//! have one dash or two, a value follows after a blank or `=`.

use super::as_task::{self, Task};
use crate::blocks::schema::{AttributeSchema, Kind};
use crate::blocks::settings;
use crate::config::Options;
use crate::hcl::Input;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use std::collections::BTreeMap;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run,
    /// Load everything, listen on nothing.
    Verify(ReportFormat),
    /// Show the effective configuration.
    Print,
    /// Show the language as JSON.
    Schema,
    /// Bring files into one layout.
    Fmt {
        /// Files, folders or `-`.
        files: Vec<String>,
        /// Only tell whether they would change.
        check: bool,
    },
    /// Tell the version.
    Version,
    /// Tell the usage.
    Help,
    /// Ask a running gateway for its health.
    Healthcheck,
    /// Look after the store of the authorization server.
    As(Task),
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// As the log is.
    Log,
    /// With source lines and carets.
    Text,
    /// One JSON object a line.
    Json,
}

/// The arguments as understood.
#[derive(Debug)]
pub struct Arguments {
    /// What to do.
    pub command: Command,
    /// With which configuration.
    pub options: Options,
}

const COMMANDS: [&str; 8] = [
    "as",
    "run",
    "verify",
    "fmt",
    "schema",
    "version",
    "help",
    "healthcheck",
];

/// Settings whose option has other names, too.
const ALIASES: [(&str, &str); 1] = [("server_timing_header", "send-server-timing-headers")];

/// The options that find a configuration.
fn with_inputs(command: clap::Command) -> clap::Command {
    command
        .arg(path(
            'f',
            "file",
            "Configuration file (repeatable) [default: couper.hcl]",
        ))
        .arg(path('d', "directory", "Folder of *.hcl files (repeatable)"))
        .arg(
            Arg::new("environment")
                .short('e')
                .value_name("NAME")
                .help("Environment"),
        )
}

fn command(name: &'static str, about: &'static str) -> clap::Command {
    let command = clap::Command::new(name)
        .about(about)
        .disable_help_subcommand(true)
        .disable_version_flag(true);
    let mut command = with_inputs(command);
    for attribute in options() {
        let long = attribute.name.replace('_', "-");
        let mut arg = Arg::new(attribute.name).long(long).help(attribute.docs);
        arg = match attribute.kind {
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(PossibleValuesParser::new(["true", "false"])),
            _ => arg.value_name("VALUE"),
        };
        if attribute.name == "default_port" {
            arg = arg.short('p');
        }
        for (_, alias) in ALIASES.iter().filter(|(of, _)| *of == attribute.name) {
            arg = arg.alias(*alias);
        }
        command = command.arg(arg);
    }
    command
}

/// What is not for the block alone: settings and what stands beside them.
fn options() -> impl Iterator<Item = &'static AttributeSchema> {
    settings::SCHEMA
        .attributes()
        .filter(|attribute| attribute.name != "environment" && !attribute.unavailable)
        .chain(&settings::OPTIONS)
}

fn path(short: char, name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .short(short)
        .value_name("PATH")
        .action(ArgAction::Append)
        .help(help)
}

fn program() -> clap::Command {
    let format = Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(["log", "text", "json"]))
        .help("How findings are written");
    let print = Arg::new("print")
        .long("print")
        .action(ArgAction::SetTrue)
        .help("Show the merged configuration, secrets masked");
    clap::Command::new("gateway")
        .about("An API gateway configured by HCL")
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommand(command(
            "run",
            "Serve (the default when the first argument is an option)",
        ))
        .subcommand(
            command("verify", "Check a configuration without serving it")
                .arg(format)
                .arg(print),
        )
        .subcommand(
            clap::Command::new("fmt")
                .about("Bring configuration files into one layout")
                .arg(
                    Arg::new("files")
                        .value_name("FILE")
                        .action(ArgAction::Append)
                        .num_args(0..)
                        .default_value("couper.hcl")
                        .help("File, folder, or `-` for standard input"),
                )
                .arg(
                    Arg::new("check")
                        .long("check")
                        .action(ArgAction::SetTrue)
                        .help("Write nothing; exit with 1 if a file would change"),
                ),
        )
        .subcommand(clap::Command::new("schema").about("Show the language as JSON, for editors"))
        .subcommand(clap::Command::new("version").about("Show the version"))
        .subcommand(clap::Command::new("help").about("Show this help"))
        .subcommand(command(
            "healthcheck",
            "Ask the gateway on this machine for its health",
        ))
        .subcommand(as_task::command(with_inputs))
}

/// The commands, each with one line about it.
pub fn commands() -> Vec<(String, String)> {
    let line = |command: &clap::Command| {
        let about = command.get_about().map(|about| format!("{about}."));
        (command.get_name().to_owned(), about.unwrap_or_default())
    };
    program().get_subcommands().map(line).collect()
}

/// The text of `gateway help`.
pub(super) fn help() -> String {
    let options = program()
        .find_subcommand_mut("run")
        .map(|run| run.render_help().to_string());
    let options = options.unwrap_or_default();
    let options = options.split_once("Options:").map_or("", |(_, rest)| rest);
    format!(
        "{}\nOptions of run and verify:{options}",
        program().render_help()
    )
}

/// `-watch` → `--watch`; `-f`, `-p 1` and values stay.
fn with_two_dashes(argument: String) -> String {
    let name = argument.split('=').next().unwrap_or("");
    let long = name.len() > 2 && name.starts_with('-') && !name.starts_with("--");
    // `-fcouper.hcl` is no form that the predecessor knows.
    if long {
        format!("-{argument}")
    } else {
        argument
    }
}

impl Arguments {
    /// Reads arguments; the error is what to tell the user.
    pub fn parse(arguments: Vec<String>, env: BTreeMap<String, String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter().map(with_two_dashes).peekable();
        let first = arguments.peek().map(|first| first.to_ascii_lowercase());
        let name = match first.as_deref() {
            None => return Err(help()),
            Some("--help" | "-h") => "help".to_owned(),
            Some("--version" | "-v") => "version".to_owned(),
            Some(option) if option.starts_with('-') => "run".to_owned(),
            Some(word) if COMMANDS.contains(&word) => {
                arguments.next();
                word.to_owned()
            }
            Some(word) => {
                let hint = crate::diagnostic::nearest::did_you_mean(word, COMMANDS);
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                return Err(format!("unknown command `{word}`{hint}\n\n{}", help()));
            }
        };
        match name.as_str() {
            "help" => {
                return Ok(Self {
                    command: Command::Help,
                    options: Options::default(),
                });
            }
            "version" => {
                return Ok(Self {
                    command: Command::Version,
                    options: Options::default(),
                });
            }
            _ => {}
        }
        let line = ["gateway".to_owned(), name].into_iter().chain(arguments);
        let matches = program()
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        let Some((name, matches)) = matches.subcommand() else {
            return Err(help());
        };
        let command = match name {
            "fmt" => {
                let files = matches.get_many::<String>("files").into_iter().flatten();
                return Ok(Self {
                    command: Command::Fmt {
                        files: files.cloned().collect(),
                        check: matches.get_flag("check"),
                    },
                    options: Options::default(),
                });
            }
            "schema" => {
                return Ok(Self {
                    command: Command::Schema,
                    options: Options::default(),
                });
            }
            "verify" if matches.get_flag("print") => Command::Print,
            "verify" => Command::Verify(
                match matches.get_one::<String>("format").map(String::as_str) {
                    Some("json") => ReportFormat::Json,
                    Some("text") => ReportFormat::Text,
                    _ => ReportFormat::Log,
                },
            ),
            "healthcheck" => Command::Healthcheck,
            "as" => {
                let Some((name, matches)) = matches.subcommand() else {
                    return Err(help());
                };
                return Ok(Self {
                    command: Command::As(Task::of(name, matches)?),
                    options: given(matches, env),
                });
            }
            _ => Command::Run,
        };
        Ok(Self {
            command,
            options: given(matches, env),
        })
    }
}

fn given(matches: &ArgMatches, env: BTreeMap<String, String>) -> Options {
    let of = |name: &str, input: fn(std::path::PathBuf) -> Input| {
        let values = matches.get_many::<String>(name).into_iter().flatten();
        let indices = matches.indices_of(name).into_iter().flatten();
        let pairs = indices
            .zip(values)
            .map(|(at, path)| (at, input(path.into())));
        pairs.collect::<Vec<_>>()
    };
    let mut inputs = of("file", Input::File);
    inputs.extend(of("directory", Input::Folder));
    inputs.sort_by_key(|(at, _)| *at);
    let settings = options()
        .filter_map(|a| {
            // Not every command has them.
            let value = matches.try_get_one::<String>(a.name).ok()??;
            Some((a.name.to_owned(), value.clone()))
        })
        .collect();
    Options {
        inputs: inputs.into_iter().map(|(_, input)| input).collect(),
        environment: matches.get_one::<String>("environment").cloned(),
        settings,
        env,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(
            line.split_whitespace().map(str::to_owned).collect(),
            BTreeMap::new(),
        )
    }

    #[test]
    fn options_with_one_dash_or_two() {
        for line in [
            "-log-format json -p 9000 -xfh -f a.hcl",
            "run --log-format=json --default-port=9000 --xfh=true -f=a.hcl",
        ] {
            let arguments = parse(line).unwrap();
            assert_eq!(arguments.command, Command::Run);
            let settings = &arguments.options.settings;
            assert_eq!(settings["log_format"], "json");
            assert_eq!(settings["default_port"], "9000");
            assert_eq!(settings["xfh"], "true");
            assert_eq!(arguments.options.inputs, [Input::File("a.hcl".into())]);
        }
    }

    #[test]
    fn files_and_folders_keep_their_order() {
        let arguments = parse("RUN -d x -f y.hcl -d z").unwrap();
        let expected = [
            Input::Folder("x".into()),
            Input::File("y.hcl".into()),
            Input::Folder("z".into()),
        ];
        assert_eq!(arguments.options.inputs, expected);
    }

    #[test]
    fn commands_without_a_configuration() {
        let command = parse("fmt -check a.hcl -").unwrap().command;
        let files = vec!["a.hcl".to_owned(), "-".to_owned()];
        assert_eq!(command, Command::Fmt { files, check: true });
        assert_eq!(parse("schema").unwrap().command, Command::Schema);
        assert_eq!(parse("verify --print").unwrap().command, Command::Print);
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        assert!(
            parse("-log-fromat json")
                .unwrap_err()
                .contains("--log-fromat")
        );
        assert!(parse("verfy").unwrap_err().contains("`verify`"));
        assert!(parse("run stray").unwrap_err().contains("stray"));
        assert!(parse("").is_err());
    }
}
