//! The flags of `pushmesh listen`.

use crate::cli::server::ServerArgs;
use crate::config::Secret;
use crate::id::{DeviceId, UserId};

/// The flags of `pushmesh listen`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The user to listen as; without token only a node in --dev accepts it
    #[arg(long, value_name = "USER", required_unless_present = "token")]
    pub(super) user: Option<UserId>,
    /// The device to be; connecting again with it takes the session over [default: a random one]
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<DeviceId>,
    /// Client token, as `pushmesh token` signs it
    #[arg(long, env = "PUSHMESH_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = secret)]
    pub(super) token: Option<Secret>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Have the session kept for so many seconds while the connection is broken: come back to it, with what was missed. Each
    /// message is printed behind its position, and acknowledged
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub(super) keep: Option<u32>,
    /// Print messages as JSON with their ids, one a line; a binary message carries "base64"
    #[arg(long)]
    pub(super) json: bool,
}

impl ListenArgs {
    /// Whether `pushmesh.v1` is spoken.
    pub(super) fn envelopes(&self) -> bool {
        self.json || self.keep.is_some()
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}
