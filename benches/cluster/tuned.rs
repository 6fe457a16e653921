//! A node of pushmesh with a bound that no flag sets. This program starts itself again as such a node.
//!
//! It is what `pushmesh node` starts, on as many threads, and says the same lines; it has no log and ends with the bench.

use std::io::Write;
use std::time::Duration;

use clap::Parser;
use pushmesh::config::RawConfig;
use pushmesh::wire::{OpenFiles, Threads};
use pushmesh::{Node, Wire};

use crate::server::Failure;

/// The flags of a node, and the bound.
#[derive(Debug, Parser)]
pub(crate) struct Tuned {
    /// Milliseconds that a client has to acknowledge what is not copied then
    #[arg(long)]
    copied_after: u64,
    #[command(flatten)]
    raw: RawConfig,
}

impl Tuned {
    /// The word that it is started with.
    pub(crate) const COMMAND: &str = "tuned-node";

    /// Runs the node until it fails.
    ///
    /// # Errors
    /// It does not start, or has failed.
    pub(crate) fn serve(self) -> Result<(), Failure> {
        let mut config = self.raw.validate()?;
        config.tuning.copied_after = Duration::from_millis(self.copied_after);
        OpenFiles::raise();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let threads = Threads::start(config.threads)?;
            let wire = Wire::bind_on(config.listen, config.mesh_listen, threads).await?;
            let node = Node::start(config, wire).await?;
            say(&format!("listening http={} mesh={}", node.http_addr(), node.mesh_addr()))?;
            node.ready().await;
            say("ready")?;
            Err(node.failed().await.into())
        })
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
