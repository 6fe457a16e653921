//! Keys, origins and certificates of a node that runs are read again: on SIGHUP, and when their files have changed.
//!
//! Files are looked at again and again instead of being watched by the kernel: orchestrators replace a directory behind a symbolic link,
//! and a network file system tells nobody. A change is taken up once it was seen twice, so that a file that is being written is complete. What
//! cannot be used changes nothing: it is logged and counted, and tried again when the files have changed once more.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ring::digest::{SHA256, digest};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Config, RawConfig};
use crate::limits;
use crate::node::Node;
use crate::text_file;

/// Where the settings of a node come from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The file of `--config`.
    pub(super) file: Option<PathBuf>,
    /// Flags and environment, which stay what they are.
    pub(super) flags: RawConfig,
}

impl Source {
    /// What is said now.
    pub(super) fn read(&self) -> anyhow::Result<RawConfig> {
        Ok(match &self.file {
            Some(path) => RawConfig::from_toml(path)?.overlay(self.flags.clone()),
            None => self.flags.clone(),
        })
    }

    /// Reads all again, and checks it.
    fn read_again(&self) -> anyhow::Result<(RawConfig, Config)> {
        check_regular(self.file.as_deref())?;
        let raw = self.read()?;
        check_regular(raw.reloaded_files())?;
        let config = raw.clone().validate()?;
        Ok((raw, config))
    }

    /// What the files hold now.
    fn look(&self, raw: &RawConfig) -> Seen {
        let content = |path: &Path| is_regular(path).then(|| text_file::read(path).ok()).flatten();
        let hash = |text: String| digest(&SHA256, text.as_bytes()).as_ref().to_vec();
        let files = self.file.as_deref().into_iter().chain(raw.reloaded_files());
        Seen(files.map(|path| content(path).map(hash)).collect())
    }
}

/// What files held, in short: the hash of each, if it is a file that can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen(Vec<Option<Vec<u8>>>);

/// Reads again for a node.
pub(super) struct Reload {
    source: Source,
    /// What was read last and could be used. Of the configuration that counts which a node that runs takes over.
    raw: RawConfig,
    config: Config,
    hangup: Signal,
    /// What the files held when they were looked at last, and when they were read last.
    seen: Seen,
    tried: Seen,
}

impl Reload {
    /// For a node that starts with what was read from there. From now on SIGHUP does not end the process.
    ///
    /// # Errors
    /// The system does not let us listen for SIGHUP.
    pub(super) fn new(source: Source, raw: RawConfig, config: &Config) -> anyhow::Result<Self> {
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let seen = source.look(&raw);
        Ok(Self { source, raw, config: config.clone(), hangup, tried: seen.clone(), seen })
    }

    /// Reads again whenever there is a reason to.
    pub(super) async fn run(&mut self, node: &Node) -> Infallible {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    info!("SIGHUP: reading keys, origins and certificates again");
                    self.tried = self.look().await;
                    self.reload(node).await;
                }
                () = sleep(limits::RELOAD_LOOK) => {
                    let now = self.look().await;
                    let is_whole = now == self.seen;
                    self.seen = now.clone();
                    if is_whole && now != self.tried {
                        info!("a file has changed: reading keys, origins and certificates again");
                        self.tried = now;
                        self.reload(node).await;
                    }
                }
            }
        }
    }

    /// The next boot of the node has what this one had last.
    pub(super) fn carry_on(&self, next: Config) -> Config {
        let Config { auth, tls, mesh_identity, .. } = self.config.clone();
        Config { auth, tls, mesh_identity, ..next }
    }

    async fn reload(&mut self, node: &Node) {
        if let Err(error) = self.try_reload(node).await {
            warn!(%error, "what was read again cannot be used: all stays as it was");
        }
    }

    async fn try_reload(&mut self, node: &Node) -> anyhow::Result<()> {
        let source = self.source.clone();
        let read = spawn_blocking(move || source.read_again()).await.map_err(Into::into).flatten();
        let (raw, config) = read.inspect_err(|_| node.reload_failed())?;
        let restart = raw.differs_beyond_reload(&self.raw);
        if !restart.is_empty() {
            warn!(settings = ?restart, "these settings have changed and need a restart: they stay as they were");
        }
        node.reload(&config)?;
        // What needs a restart is told again when it changes again.
        (self.raw, self.config) = (raw, config);
        // It may name other files than before.
        self.seen = self.look().await;
        self.tried = self.seen.clone();
        Ok(())
    }

    async fn look(&self) -> Seen {
        let (source, raw) = (self.source.clone(), self.raw.clone());
        match spawn_blocking(move || source.look(&raw)).await {
            Ok(seen) => seen,
            Err(_) => self.seen.clone(), // The process ends.
        }
    }
}

fn is_regular(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|of| of.is_file())
}

/// A pipe, as of a shell's `<(…)`, was read when the node started: there is nothing in it any more, and to read it might never end.
fn check_regular<'a>(paths: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
    for path in paths {
        if fs::metadata(path).is_ok_and(|of| !of.is_file()) {
            bail!("{} is no regular file, and cannot be read again: restart the node", path.display());
        }
    }
    Ok(())
}
