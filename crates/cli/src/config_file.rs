//! `taskplane.toml`: a table per subcommand, a key per flag. Flags win over the environment, the environment over the file.
//!
//! ```toml
//! log = "info"
//! [brain]
//! listen = "127.0.0.1:7440"
//! [agent]
//! celery = ["redis://127.0.0.1:6379/0"]
//! [tasks]
//! url = "http://127.0.0.1:7440"
//! [tasks.list]
//! limit = 100
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::arguments::Cli;

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "taskplane.toml";

/// Reads file, environment and command line. Help, version and mistakes on the command line end the process here.
///
/// # Errors
/// When the file cannot be read or says something that no flag says.
pub(crate) fn parse_arguments() -> Result<Cli> {
    let mut command = Cli::command();
    if let Some(path) = config_path(std::env::args_os().collect()) {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
        command = with_file(command, &text).with_context(|| format!("in the configuration file {}", path.display()))?;
    }
    let matches = command.get_matches();
    Cli::from_arg_matches(&matches).map_err(|error| error.exit())
}

fn config_path(args: Vec<OsString>) -> Option<PathBuf> {
    let mut args = args.into_iter().skip(1);
    while let Some(arg) = args.next() {
        let Some(text) = arg.to_str() else { continue };
        if text == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(PathBuf::from(path));
        }
    }
    let named = std::env::var_os("TASKPLANE_CONFIG").map(PathBuf::from);
    named.or_else(|| Path::new(DEFAULT_FILE).is_file().then(|| PathBuf::from(DEFAULT_FILE)))
}

/// `command` with what the file says as its defaults.
fn with_file(command: clap::Command, text: &str) -> Result<clap::Command> {
    let table: Table = text.parse().context("it is not TOML")?;
    apply(command, table, "")
}

fn apply(mut command: clap::Command, table: Table, path: &str) -> Result<clap::Command> {
    for (key, value) in table {
        let name = key.replace('_', "-");
        if let Value::Table(inner) = value {
            let Some(sub) = command.find_subcommand(&name).cloned() else {
                bail!("there is no command \"{path}{key}\"");
            };
            let sub = apply(sub, inner, &format!("{path}{key}."))?;
            command = command.mut_subcommand(&name, |_| sub);
            continue;
        }
        let id = key.replace('-', "_");
        if !command.get_arguments().any(|arg| arg.get_id() == id.as_str()) {
            bail!("there is no setting \"{path}{key}\"");
        }
        let values = texts(&value)
            .with_context(|| format!("\"{path}{key}\" must be text, a number, a boolean or a list of these"))?;
        command = command.mut_arg(&id, |arg| arg.required(false).default_values(values));
    }
    Ok(command)
}

fn texts(value: &Value) -> Result<Vec<String>> {
    Ok(match value {
        Value::String(text) => vec![text.clone()],
        Value::Integer(number) => vec![number.to_string()],
        Value::Boolean(flag) => vec![flag.to_string()],
        Value::Array(items) => items.iter().map(texts).collect::<Result<Vec<_>>>()?.concat(),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => bail!("not a value of a flag"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, TasksCommand, TasksVerb};

    fn parse(file: &str, args: &[&str]) -> Result<Cli> {
        let matches = with_file(Cli::command(), file)?.try_get_matches_from(args)?;
        Ok(Cli::from_arg_matches(&matches)?)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_file_gives_defaults_and_flags_win() {
        let file = "[brain]\nlisten = \"127.0.0.1:9999\"\n[agent]\nbrain = \"ws://b\"\ncelery = [\"redis://a\", \"redis://b\"]\n";
        let Command::Brain(brain) = parse(file, &["taskplane", "brain"]).expect("parses").command else {
            panic!("brain")
        };
        assert_eq!(brain.listen.port(), 9999);
        let args = ["taskplane", "brain", "--listen", "127.0.0.1:1"];
        let Command::Brain(brain) = parse(file, &args).expect("parses").command else { panic!("brain") };
        assert_eq!(brain.listen.port(), 1);
        let Command::Agent(agent) = parse(file, &["taskplane", "agent"]).expect("parses").command else {
            panic!("agent")
        };
        assert_eq!((agent.brain.as_str(), agent.celery.len()), ("ws://b", 2));
    }

    fn tasks(file: &str, args: &[&str]) -> TasksCommand {
        match parse(file, &[&["taskplane", "tasks"], args].concat()).expect("parses").command {
            Command::Tasks(tasks) => tasks,
            _ => panic!("not tasks"),
        }
    }

    #[test]
    fn nested_commands_have_nested_tables() {
        // Only what the environment of whoever runs the tests cannot change.
        let file = "[tasks]\nurl = \"http://file\"\njson = true\n[tasks.list]\nlimit = 7\n";
        let list = tasks(file, &["list"]);
        assert!(list.api.json && !list.api.url.is_empty());
        assert!(matches!(list.verb, TasksVerb::List(options) if options.limit == 7));
        // A flag wins over the file wherever it stands.
        for args in [["list", "--url", "http://flag"], ["--url", "http://flag", "list"]] {
            let list = tasks(file, &args);
            assert_eq!(list.api.url, "http://flag");
        }
        let list = tasks(file, &["list", "--limit", "9"]);
        assert!(matches!(list.verb, TasksVerb::List(options) if options.limit == 9));
    }

    #[test]
    fn secrets_of_the_file_are_not_in_the_help() {
        let file = "[agent]\ntoken = \"hunter2\"\ncelery = [\"redis://:hunter2@h\"]\n[tasks]\napi-key = \"hunter2\"\n\
                    [brain]\ndatabase-url = \"postgres://me:hunter2@h\"\n";
        for command in ["agent", "tasks", "brain"] {
            let help = parse(file, &["taskplane", command, "--help"]).expect_err("help").to_string();
            assert!(help.contains("Usage") && !help.contains("hunter2"), "{help}");
        }
    }

    #[test]
    fn what_no_flag_says_is_refused() {
        for file in [
            "[brain]\nlissen = \"x\"\n",
            "[brian]\nlisten = \"x\"\n",
            "not toml",
            "[brain]\nlisten = 1.5\n",
            "[tasks.lists]\nlimit = 1\n",
            "[tasks.list]\nlimits = 1\n",
        ] {
            assert!(parse(file, &["taskplane", "brain"]).is_err(), "{file}");
        }
    }
}
