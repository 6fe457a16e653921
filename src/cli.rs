//! The command line: one file a command, and what they share.
//!
//! `node` and `demo` run the product; the other commands are clients of its HTTP and WebSocket
//! face, and know nothing that docs/PROTOCOL.md does not say. Results go to stdout, as tables for
//! people or with `--json` as lines for scripts; progress and problems go to stderr. Exit codes are
//! those of the table in `exit.rs`.

use std::process::ExitCode;

use clap::builder::{OsStr, Resettable};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::config::{ConfigError, environment};
use crate::node::StartError;

mod advertised;
mod client;
mod demo;
mod exit;
mod explain;
mod forget;
mod keygen;
mod listen;
mod log;
mod node;
mod nodes;
mod output;
mod progress;
mod push;
mod reload;
mod server;
mod sessions;
mod stop;
mod table;
mod token;

use exit::Exit;
use output::{ReaderGone, tell};

/// WebSocket push on a cluster, in one binary and without a broker
#[derive(Debug, Parser)]
#[command(name = "pushmesh", version, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node of a cluster
    Node(Box<node::NodeArgs>),
    /// Run a whole cluster in this process and tell what it does
    Demo(demo::DemoArgs),
    /// Push a message to a user, a device or everyone
    #[command(after_help = exit::HELP)]
    Push(push::PushArgs),
    /// Connect as a client and print what arrives
    Listen(listen::ListenArgs),
    /// Show the nodes of the cluster
    Nodes(nodes::NodesArgs),
    /// Tell a node that a dead node is gone for good
    Forget(forget::ForgetArgs),
    /// Show who is connected
    Sessions(sessions::SessionsArgs),
    /// Show why a user is where it is, and the way of a push to it
    #[command(after_help = exit::HELP)]
    Explain(explain::ExplainArgs),
    /// Sign a token that a client can connect with
    Token(token::TokenArgs),
    /// Make a key or a secret
    Keygen(keygen::KeygenArgs),
}

impl Cli {
    /// Reads the command line and the environment of this process; ends it where they are wrong, or ask for help.
    #[must_use]
    pub fn read() -> Self {
        let matches = without_empty_variables(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The runtime for its command.
    #[must_use]
    pub fn runtime(&self) -> Builder {
        match self.command {
            // It makes threads for connections and pushes by itself, and this one does all else.
            Command::Node(_) => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        }
    }
}

/// Takes away the variables that are set to nothing: they would be values that no flag can have.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_env() {
        Some(name) if environment::is_empty(name) => argument.env(Resettable::<OsStr>::Reset),
        _ => argument,
    });
    command.mut_subcommands(without_empty_variables)
}

/// Runs one command to its end; what went wrong is on stderr by then.
pub async fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Node(args) => node::run(*args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Push(args) => push::run(args).await.map(ExitCode::from),
        Command::Listen(args) => listen::run(args).await.map(ExitCode::from),
        Command::Nodes(args) => nodes::run(args).await.map(ExitCode::from),
        Command::Forget(args) => forget::run(args).await.map(ExitCode::from),
        Command::Sessions(args) => sessions::run(args).await.map(ExitCode::from),
        Command::Explain(args) => explain::run(args).await.map(ExitCode::from),
        Command::Token(args) => token::run(&args).map(ExitCode::from),
        Command::Keygen(args) => keygen::run(&args).map(ExitCode::from),
    };
    let code = result.unwrap_or_else(|error| fail(&error).into());
    output::flush();
    code
}

/// Reports an error that ended a command.
fn fail(error: &anyhow::Error) -> Exit {
    if error.is::<ReaderGone>() {
        return Exit::Done;
    }
    tell(format!("pushmesh: {}", told(error)));
    match error.downcast_ref() {
        Some(StartError::NameTaken { .. }) => Exit::NameTaken,
        _ if error.is::<ConfigError>() => Exit::Usage,
        _ => Exit::Error,
    }
}

/// The error and its causes, but for causes that it quotes already.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        told if told.contains(&cause) => told,
        told if told.is_empty() => cause,
        told => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_secret_in_the_environment_is_not_shown_by_help() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
                let name = argument.get_long().unwrap_or_default();
                let is_secret = name == "token" || name.ends_with("key") || name.ends_with("secret");
                let is_path = name.starts_with("tls-") || name.starts_with("mesh-tls-");
                assert!(!is_secret || is_path || argument.is_hide_env_values_set(), "--{name}");
            }
        }
    }

    #[test]
    fn a_cause_that_is_quoted_already_is_not_told_twice() {
        let error =
            anyhow::anyhow!("no such file").context("cannot read a.toml: no such file").context("no start");
        assert_eq!(told(&error), "no start: cannot read a.toml: no such file");
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure_and_a_bad_configuration_is_a_usage_error() {
        assert_eq!(fail(&ReaderGone.into()), Exit::Done);
        let missing = ConfigError::Missing { flag: "name", advice: "give it" };
        assert_eq!(fail(&missing.into()), Exit::Usage);
        assert_eq!(fail(&anyhow::anyhow!("anything else")), Exit::Error);
    }
}
