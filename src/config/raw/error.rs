//! Why a configuration is refused.

use std::io;
use std::path::PathBuf;

use crate::config::InvalidConfig;
use crate::id::IdError;

/// Why a configuration is refused. Every message names the flag, which is also the key of the file
/// and, with `PUSHMESH_` in front and in capitals, the variable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that a flag names cannot be read.
    #[error("--{flag}: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The flag, without dashes.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The TOML file has a syntax error, an unknown key or a value of the wrong shape.
    #[error("{}, line {line}: {problem}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, with the name of the key.
        problem: String,
    },
    /// The content of a file is not what the flag needs.
    #[error("--{flag}: {} {problem}", path.display())]
    Content {
        /// The flag, without dashes.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A name breaks the rules of its kind.
    #[error("--{flag}: {source}")]
    Name {
        /// The flag, without dashes.
        flag: &'static str,
        /// The rule.
        source: IdError,
    },
    /// A value breaks one of the rules of [`Config::check`](crate::Config::check).
    #[error("--{}{}", .0.field.rsplit('.').next().unwrap_or_default().replace('_', "-"), .0.problem)]
    Rule(#[from] InvalidConfig),
    /// A value is not one that the flag can have.
    #[error("--{flag}: {problem}")]
    Value {
        /// The flag, without dashes.
        flag: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A flag is absent that this configuration needs.
    #[error("--{flag} is missing: {advice}")]
    Missing {
        /// The flag, without dashes.
        flag: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{first} and {second} exclude each other: {advice}")]
    Conflict {
        /// One of them, as the operator writes it.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Why, and what to do.
        advice: &'static str,
    },
}
