//! The peers that are given by name: looked up again and again, for as long as somebody is missing.
//!
//! A name may resolve late, because pods start before their service knows them; it may have many
//! addresses, one for each pod, this node's among them; and the addresses change when pods do. So:
//!
//! | this node | looks names up |
//! |---|---|
//! | hears nobody | every second ([`LOOKUP_ALONE_EVERY`](limits::LOOKUP_ALONE_EVERY)) |
//! | joins, or lists a member that is not alive | every 5 s ([`LOOKUP_MISSING_EVERY`](limits::LOOKUP_MISSING_EVERY)), and when that begins |
//! | misses nobody | every 30 s ([`LOOKUP_WELL_EVERY`](limits::LOOKUP_WELL_EVERY)) |
//!
//! Whatever is found is greeted: gossip sends it a message, for which the mesh dials it if there is no
//! link, in the background and with its own pauses. All names are looked up side by side, each once at a
//! time, and nothing waits for a look-up that hangs.
//!
//! Peers that are given by address are not here: gossip knows them as its seeds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use crate::limits;
use crate::metrics::label::Lookup;
use crate::node::company::Company;
use crate::node::shared::Shared;
use crate::wire::Resolver;

/// The peers of a node, as they were given.
pub(super) struct Seeds {
    /// Those that are addresses.
    literal: Vec<SocketAddr>,
    names: Vec<Name>,
    /// The look-ups that go on, by the place of the name.
    lookups: FuturesUnordered<BoxFuture<'static, (usize, io::Result<Vec<SocketAddr>>)>>,
    resolver: Arc<dyn Resolver>,
    /// When the names were looked up last.
    asked_at: Option<Instant>,
}

/// A peer that is given by name.
struct Name {
    text: String,
    /// It is being looked up.
    busy: bool,
    /// What was found last.
    addrs: Vec<SocketAddr>,
    /// The last look-up failed, and that was said.
    failed: bool,
}

impl Seeds {
    /// The peers of a configuration.
    pub(super) fn new(peers: &[String], resolver: Arc<dyn Resolver>) -> Self {
        let literal = peers.iter().filter_map(|peer| peer.parse().ok()).collect();
        let names = peers.iter().filter(|peer| peer.parse::<SocketAddr>().is_err());
        let name = |text: &String| Name { text: text.clone(), busy: false, addrs: Vec::new(), failed: false };
        let names = names.map(name).collect();
        Self { literal, names, lookups: FuturesUnordered::new(), resolver, asked_at: None }
    }

    /// Those that are given by address.
    pub(super) fn literal(&self) -> &[SocketAddr] {
        &self.literal
    }

    /// Whether they name anybody but the node at `own`. A name does, even if it leads to this node now.
    pub(super) fn name_others(&self, own: SocketAddr) -> bool {
        let canonical = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
        !self.names.is_empty() || self.literal.iter().any(|addr| canonical(*addr) != canonical(own))
    }

    /// All addresses that are known after `bound`, or as soon as every name was looked up.
    pub(super) async fn first(&mut self, bound: Duration) -> Vec<SocketAddr> {
        self.ask(Instant::now());
        let all = async {
            while let Some((place, found)) = self.lookups.next().await {
                self.found(place, found);
            }
        };
        // What is not there by then goes on, and is greeted when it is.
        let _ = timeout(bound, all).await;
        self.literal.iter().copied().chain(self.addrs()).collect()
    }

    /// Looks up and greets until the node stops.
    pub(super) async fn keep_looking(mut self, shared: Arc<Shared>) {
        if self.names.is_empty() {
            return shared.stop.cancelled().await;
        }
        let greet = |addrs: &[SocketAddr]| addrs.iter().for_each(|addr| shared.gossip.greet(*addr));
        let mut tick = interval(limits::LOOKUP_ALONE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Company::None;
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => return,
                Some((place, found)) = self.lookups.next(), if !self.lookups.is_empty() => {
                    shared.metrics.peer_lookups.with(if found.is_ok() { Lookup::Found } else { Lookup::Failed }).increment(1);
                    self.found(place, found);
                    greet(&self.names[place].addrs);
                }
                _ = tick.tick() => {
                    let (company, now) = (shared.company(), Instant::now());
                    if self.is_due(company, before, now) {
                        self.ask(now);
                    }
                    before = company;
                    if company != Company::Complete {
                        // Also what was found before: the mesh makes its own pauses between dials.
                        self.names.iter().for_each(|name| greet(&name.addrs));
                    }
                }
            }
        }
    }

    /// Whether names are to be looked up now. Who begins to miss somebody does not wait.
    fn is_due(&self, company: Company, before: Company, now: Instant) -> bool {
        let Some(asked_at) = self.asked_at else { return true };
        company > before || now.saturating_duration_since(asked_at) >= company.lookup_every()
    }

    /// Begins to look up what is not being looked up.
    fn ask(&mut self, now: Instant) {
        self.asked_at = Some(now);
        for (place, name) in self.names.iter_mut().enumerate().filter(|(_, name)| !name.busy) {
            name.busy = true;
            let (resolver, text) = (Arc::clone(&self.resolver), name.text.clone());
            let lookup = async move {
                let found = timeout(limits::LOOKUP_TIMEOUT, resolver.lookup(&text)).await;
                (place, found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            };
            self.lookups.push(lookup.boxed());
        }
    }

    fn found(&mut self, place: usize, found: io::Result<Vec<SocketAddr>>) {
        let name = &mut self.names[place];
        name.busy = false;
        match found {
            Ok(mut addrs) if !addrs.is_empty() => {
                addrs.sort_unstable();
                addrs.dedup();
                addrs.truncate(limits::PEERS_MAX);
                if std::mem::take(&mut name.failed) {
                    info!(peer = %name.text, ?addrs, "a peer's name resolves now");
                } else if addrs != name.addrs {
                    debug!(peer = %name.text, ?addrs, "a peer's name resolves");
                }
                name.addrs = addrs;
            }
            // What was found before is kept: servers of names fail more often than nodes move.
            Ok(_) => name.fail(&"it has no address"),
            Err(error) => name.fail(&error),
        }
    }

    fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.names.iter().flat_map(|name| name.addrs.iter().copied())
    }
}

impl Name {
    fn fail(&mut self, error: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.failed, true) {
            warn!(peer = %self.text, %error, "a peer's name does not resolve; trying again until it does");
        }
    }
}

#[cfg(test)]
mod tests;
