//! `pushmesh node`: runs one node until a signal or a fault ends it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::advertised;
use super::log::{self, LogFormat};
use super::output::{announce, tell};
use super::reload::{Reload, Source};
use super::stop::{self, Insist, StopSignals};
use crate::config::{AuthConfig, Config, RawConfig};
use crate::limits::FAULT_DRAIN;
use crate::node::{Fault, Node};
use crate::wire::{BindError, OpenFiles, TcpFace, Threads, Wire};

#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// TOML file with the same names as the flags; flags and environment win over it
    #[arg(long, env = "PUSHMESH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Format of the log on stderr; RUST_LOG chooses what is in it
    #[arg(long, env = "PUSHMESH_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    #[command(flatten)]
    raw: RawConfig,
}

/// Runs a node.
pub(crate) async fn run(args: NodeArgs) -> anyhow::Result<ExitCode> {
    log::start("pushmesh=info,warn", args.log_format)?;
    let source = Source { file: args.config, flags: args.raw };
    let raw = source.read()?;
    let config = raw.clone().validate()?;
    if config.auth.dev {
        warn_about_dev();
    }
    warn_about_logins(&config.auth);
    // Before anything else happens, so that a signal during the start is not lost.
    let mut stop = StopSignals::listen()?;
    let advertised = config.mesh_advertise.clone();
    let mut reload = Reload::new(source, raw, &config)?;
    let stop_bound = config.timers.drain_delay + config.timers.drain_timeout;
    let insist = stop::insist(stop_bound)?;
    survive_full_files()?;
    OpenFiles::raise();
    let mut started = tokio::select! {
        node = start(config) => node?,
        // Nobody has seen it yet.
        () = stop.next() => return Ok(ExitCode::SUCCESS),
    };
    loop {
        let node = started;
        let apart = |what: &str, addr: Option<SocketAddr>| addr.map(|addr| format!(" {what}={addr}"));
        announce(format!(
            "pushmesh node {} listening http={} mesh={}{}{} incarnation={}",
            node.name(),
            node.http_addr(),
            node.mesh_addr(),
            apart("api", node.api_addr()).unwrap_or_default(),
            apart("admin", node.admin_addr()).unwrap_or_default(),
            node.incarnation(),
        ));
        let is_ready = async {
            node.ready().await;
            announce(format!("pushmesh node {} ready", node.name()));
            std::future::pending().await
        };
        let fault = tokio::select! {
            fault = is_ready => fault,
            () = stop.next() => return Ok(drain(node, stop, reload, stop_bound).await),
            fault = node.failed() => fault,
            never = reload.run(&node) => match never {},
            never = advertised::watch(advertised.as_ref(), node.mesh_advertised()) => match never {},
        };
        let Some(next) = node.again() else { return give_up(node, fault, &insist).await };
        let next = reload.carry_on(next);
        started = tokio::select! {
            node = start_again(node, next) => node?,
            // It has no clients.
            () = stop.next() => return Ok(ExitCode::SUCCESS),
        };
    }
}

/// Stops a node that cannot go on. That takes a second at most, also if a signal arrives meanwhile.
async fn give_up(node: Node, fault: Fault, insist: &Insist) -> anyhow::Result<ExitCode> {
    insist.on(FAULT_DRAIN);
    node.shutdown().await;
    Err(fault.into())
}

async fn start(config: Config) -> anyhow::Result<Node> {
    let wire = wire(&config, threads(&config)?).await?;
    Ok(Node::start(config, wire).await?)
}

/// The sockets of a node.
async fn wire(config: &Config, threads: Threads) -> Result<Wire<TcpFace>, BindError> {
    let mut wire = Wire::bind_on(config.listen, config.mesh_listen, threads).await?;
    if let Some(addr) = config.api_listen {
        wire = wire.with_api(addr)?;
    }
    if let Some(addr) = config.admin_listen {
        wire = wire.with_admin(addr)?;
    }
    Ok(wire)
}

fn threads(config: &Config) -> anyhow::Result<Threads> {
    let count = config.threads;
    Threads::start(count).with_context(|| format!("cannot start {count} threads: lower --threads"))
}

/// Starts the next boot of a node at the same addresses, in place of one that is over.
async fn start_again(over: Node, config: Config) -> anyhow::Result<Node> {
    over.shutdown().await;
    let until = Instant::now() + ADDRESSES_FREE_WITHIN;
    let threads = threads(&config)?;
    let wire = loop {
        match wire(&config, threads.clone()).await {
            // The last tasks of the one before are about to let go of them.
            Err(_) if Instant::now() < until => sleep(ADDRESSES_LOOK).await,
            bound => {
                break bound.context(
                    "the boot before this one still holds its addresses: start the process again",
                )?;
            }
        }
    };
    Ok(Node::start(config, wire).await?)
}

/// Stops gracefully; a second signal ends the process at once.
async fn drain(node: Node, mut stop: StopSignals, mut reload: Reload, bound: Duration) -> ExitCode {
    tell(format!("pushmesh: stopping within {} s; a second signal stops at once", bound.as_secs_f32()));
    let stopped = async {
        tokio::select! {
            () = node.leave() => {}
            never = reload.run(&node) => match never {},
        }
        node.shutdown().await;
    };
    tokio::select! {
        () = stopped => ExitCode::SUCCESS,
        () = stop.next() => {
            tell("pushmesh: second signal, stopping at once");
            // What other programs return for a process ended by SIGTERM.
            ExitCode::from(143)
        }
    }
}

/// A log that reaches the limit of a file's size (`ulimit -f`) is as one whose disk is full: without this
/// the signal would end the process.
fn survive_full_files() -> anyhow::Result<()> {
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop).context("cannot listen for SIGXFSZ")
}

fn warn_about_dev() {
    tell(
        "pushmesh: --dev: no tokens, no API keys, and a cluster key that everybody knows. \
         For trying it out on this machine only.",
    );
}

/// A provider signs for other applications with the same keys.
fn warn_about_logins(auth: &AuthConfig) {
    let has_provider = !auth.jwks.is_empty() || auth.jwks_url.is_some();
    if has_provider && (auth.jwt_issuer.is_none() || auth.jwt_audiences.is_empty()) {
        tell(
            "pushmesh: the keys of an identity provider are given without --jwt-issuer and --jwt-audience both: tokens that it \
             signs for other applications may connect as well.",
        );
    }
}

/// How long the addresses of a node that was shut down may stay in use. Guess: far longer than its tasks take to end.
const ADDRESSES_FREE_WITHIN: Duration = Duration::from_secs(5);
/// How often they are tried.
const ADDRESSES_LOOK: Duration = Duration::from_millis(20);
/// Its number on Linux, but for MIPS, and on macOS.
const SIGXFSZ: i32 = 25;
