//! Anti-entropy in the fast level: the product's findings, and what it does for each.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::internals::{Digest, Digests, Finding, Replica, news};
use pushmesh::limits;
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::Boot;
use crate::model::cluster::{Cluster, index_of};
use crate::model::message::Message;

impl Cluster {
    /// Compares with a random peer, and sweeps.
    pub(super) fn compare(&mut self, boot: &mut Boot) {
        sweep(&boot.replica);
        let now = self.now;
        boot.asked.take_if(|(_, _, at)| now - *at > limits::DIGEST_INTERVAL);
        // A pull that brings nothing is given up.
        let silent = |heard: Duration| now - heard > PULL_SILENCE_MAX;
        let silent: Vec<_> = (boot.followers.iter())
            .filter(|(_, taker)| !taker.follow && silent(taker.heard))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in silent {
            self.broken(boot, stream);
        }
        if let Some(last) = boot.links.len().checked_sub(1) {
            let chosen = boot.links.keys().nth(self.choice.random_range(0..=last)).copied();
            chosen.into_iter().for_each(|peer| self.ask(boot, peer));
        }
    }

    /// Asks a peer with all digests.
    pub(super) fn ask(&mut self, boot: &mut Boot, peer: NodeIndex) {
        let asked = digests(boot);
        self.streams += 1;
        let number = self.streams;
        self.send(boot, peer, Message::Question { number, digests: asked.clone() });
        boot.asked = Some((number, asked, self.now));
    }

    /// A peer asks.
    pub(super) fn answer(&mut self, boot: &mut Boot, peer: NodeIndex, number: u64, theirs: &Digests) {
        let ours = digests(boot);
        self.send(boot, peer, Message::Answer { number, news: news(&ours, theirs) });
        for (owner, digest) in theirs {
            self.consider(boot, peer, owner, ours.get(owner), digest, false);
        }
    }

    /// A peer answers.
    pub(super) fn answered(
        &mut self,
        boot: &mut Boot,
        peer: NodeIndex,
        number: u64,
        answer: &[(NodeName, Digest)],
    ) {
        let Some((_, asked, _)) = boot.asked.take_if(|(asked, _, _)| *asked == number) else { return };
        for (owner, theirs) in answer {
            self.consider(boot, peer, owner, asked.get(owner), theirs, true);
        }
    }

    /// As `consider` of the product.
    fn consider(
        &mut self,
        boot: &mut Boot,
        peer: NodeIndex,
        owner: &NodeName,
        held: Option<&Digest>,
        theirs: &Digest,
        answered: bool,
    ) {
        if *owner == boot.name {
            return;
        }
        let of = index_of(owner);
        let direct = of == peer;
        let distrusted = direct && boot.replica.is_distrusted(owner);
        let incarnation = theirs.position.incarnation;
        match Finding::of(held, theirs, direct, answered, distrusted) {
            Finding::Nothing => {}
            Finding::Wrong => {
                if let Some(held) = held
                    && boot.replica.distrust(owner, held)
                {
                    self.count("directory: a wrong copy found");
                    if !self.history.is_ambiguous(of, incarnation) {
                        let what = format!("{} holds {owner} at {held:?}, {theirs:?} was told", boot.name);
                        self.fail("no copy is ever wrong", what);
                    }
                }
                if direct {
                    self.pull(boot, peer, of, theirs);
                }
            }
            Finding::Mend => self.pull(boot, peer, of, theirs),
            Finding::Newer => {
                if !boot.roster_is_fresh {
                    boot.roster.update(&boot.overlay);
                    boot.roster_is_fresh = true;
                }
                if !boot.roster.stale(owner, self.now - boot.since) {
                } else if boot.roster.admits(owner, incarnation) {
                    self.count("directory: relay used");
                    self.pull(boot, peer, of, theirs);
                } else {
                    self.count("directory: relay of another boot refused");
                }
            }
        }
    }

    fn pull(&mut self, boot: &mut Boot, peer: NodeIndex, owner: NodeIndex, theirs: &Digest) {
        if boot.links.contains_key(&peer) && boot.pulling.insert(owner) {
            self.subscribe(boot, peer, owner, theirs.position.incarnation, false);
        }
    }
}

/// Lets nobody else run in between: the fast level has no tasks.
fn sweep(replica: &Replica) {
    let mut sweep = pin!(replica.sweep());
    while sweep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}

fn digests(boot: &Boot) -> Digests {
    boot.replica.heads().into_iter().collect()
}

/// As in the product's `follower.rs`.
const PULL_SILENCE_MAX: Duration = Duration::from_secs(10);
