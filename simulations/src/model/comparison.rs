//! Anti-entropy in the fast level: the product's comparisons, over messages of the model.
//!
//! Left out: how often a peer may call copies wrong.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::id::Incarnation;
use pushmesh::internals::{Circumstances, Comparing, Consequence, Digest, Digests, Replica, partner};
use pushmesh::limits;
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::{Boot, Link};
use crate::model::cluster::{Cluster, index_of};
use crate::model::id::LinkId;
use crate::model::message::Message;

impl Cluster {
    /// Compares with a random peer, and sweeps.
    pub(super) fn compare(&mut self, boot: &mut Boot) {
        sweep(&boot.replica);
        let now = self.now;
        boot.asked.retain(|_, (_, at)| now - *at <= limits::DIGEST_INTERVAL);
        self.give_up_silent(boot);
        self.check_pulls(boot);
        let chosen = partner(boot.links.len(), |low, high| self.choice.random_range(low..=high));
        let link = |(peer, link): (&NodeIndex, &Link)| (*peer, link.id);
        if let Some((peer, link)) = chosen.and_then(|chosen| boot.links.iter().nth(chosen).map(link)) {
            self.ask(boot, peer, link);
        }
    }

    /// Asks a peer with all digests, over that link.
    pub(super) fn ask(&mut self, boot: &mut Boot, peer: NodeIndex, link: LinkId) {
        let comparing = Comparing::asking(&boot.replica);
        self.streams += 1;
        let number = self.streams;
        let question = Message::Question { number, digests: comparing.held().clone() };
        self.send_on(boot, (peer, link), question);
        boot.asked.insert(number, (comparing, self.now));
    }

    /// A peer asks.
    pub(super) fn answer(&mut self, boot: &mut Boot, peer: NodeIndex, number: u64, theirs: &Digests) {
        let comparing = Comparing::asked(&boot.replica);
        self.send(boot, peer, Message::Answer { number, news: comparing.answer(theirs) });
        for (owner, digest) in theirs {
            self.consider(boot, peer, &comparing, owner, digest);
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
        let Some((comparing, at)) = boot.asked.remove(&number) else { return };
        if self.now - at > limits::DIGEST_INTERVAL {
            return; // Nobody waits for it any more.
        }
        for (owner, theirs) in answer {
            self.consider(boot, peer, &comparing, owner, theirs);
        }
    }

    /// Does what one digest of a peer asks for.
    fn consider(
        &mut self,
        boot: &mut Boot,
        peer: NodeIndex,
        comparing: &Comparing,
        owner: &NodeName,
        theirs: &Digest,
    ) {
        let (of, incarnation) = (index_of(owner), theirs.position.incarnation);
        let around = Around { boot, now: self.now };
        match comparing.consider(&boot.replica, &self.names[peer], (owner, theirs), &around) {
            Consequence::Nothing | Consequence::Unheard => {}
            Consequence::Wrong { held, newly, pull } => {
                if newly {
                    self.count("directory: a wrong copy found");
                    if !self.history.is_ambiguous(of, incarnation) {
                        let what = format!("{} holds {owner} at {held:?}, {theirs:?} was told", boot.name);
                        self.fail("no copy is ever wrong", what);
                    }
                }
                if pull {
                    self.pull(boot, peer, owner, theirs);
                }
            }
            Consequence::Pull => {
                if of != peer {
                    self.count("directory: relay used");
                }
                self.pull(boot, peer, owner, theirs);
            }
            Consequence::Refuse => self.count("directory: relay of another boot refused"),
        }
    }

    fn pull(&mut self, boot: &mut Boot, peer: NodeIndex, owner: &NodeName, theirs: &Digest) {
        if let Some(link) = boot.links.get(&peer).map(|link| link.id)
            && boot.pulling.begin(owner)
        {
            self.subscribe(boot, (peer, link), index_of(owner), theirs.position.incarnation, false);
        }
    }
}

/// What decides about the digests of a peer beside what is held.
struct Around<'a> {
    boot: &'a Boot,
    now: Duration,
}

impl Circumstances for Around<'_> {
    fn accuses(&self) -> bool {
        true
    }

    fn is_stale(&self, owner: &NodeName) -> bool {
        self.boot.roster().stale(owner, self.now - self.boot.since)
    }

    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool {
        self.boot.roster().admits(owner, incarnation)
    }
}

/// Lets nobody else run in between: the fast level has no tasks.
fn sweep(replica: &Replica) {
    let mut sweep = pin!(replica.sweep());
    while sweep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}
