//! How nodes of the fast level get links: the product's dials, meetings and contests, over connections of the model.
//!
//! ```text
//!   dialler:   dial ── Connected ──► greets            ── Welcomed ──► establishes its end
//!   acceptor:                          └── Greeted ──► establishes its end
//! ```
//!
//! Each end decides on its own, so that for a while the two may have other links in use; the one that loses is retired and
//! goes on for what is sent on it. The model's own: a connection is there or not and breaks when nothing comes any more.
//! Left out: addresses that change hands, peers that are barred or differ in their settings, the bound of retired links.

use std::time::Duration;

use pushmesh::internals::{
    Hearing, InUse, JITTER, Newcomer, Observation, Outcome, asks_first, is_duplicate, is_greeted,
    is_welcomed, missed, unlinked_members,
};
use pushmesh::limits;
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::{Boot, Dialling, Link};
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::{Answer, Event, Hello};
use crate::model::id::{BootId, LinkId};
use crate::model::members::addr;
use crate::model::network::RETRANSMISSION;

impl Cluster {
    /// Dials a node, unless that is going on or failed a moment ago. `expected`: that very node is looked for.
    pub(super) fn dial(&mut self, boot: &mut Boot, to: NodeIndex, expected: bool) {
        let now = self.now;
        if boot.left || !boot.dials.begin(addr(to), now) {
            return;
        }
        self.links += 1;
        let link = self.links;
        let until = now + limits::DIAL_TIMEOUT;
        boot.dialling.insert(to, Dialling { link, until, expected });
        self.queue.put(until, Event::DialOver { boot: boot.id, to, link });
        if self.reaches(boot.node, to) {
            let took = self.passage() + self.passage();
            self.queue.put(now + took, Event::Connected { boot: boot.id, to, link });
        }
    }

    /// The connection is there: the peer is greeted, unless there is a link to it.
    pub(super) fn connected(&mut self, boot: &mut Boot, to: NodeIndex, link: LinkId) {
        let now = self.now;
        let reaches = self.reaches(boot.node, to);
        let Some(peer) = self.running(to).filter(|_| reaches) else { return };
        let Some(dialling) = boot.dialling.get_mut(&to).filter(|dialling| dialling.link == link) else {
            return;
        };
        let silence = boot.links.get(&to).map(|held| now.saturating_sub(held.heard(now)));
        if is_duplicate(silence) {
            return self.dialled(boot, to, true);
        }
        dialling.until = now + limits::HELLO_TIMEOUT;
        self.queue.put(dialling.until, Event::DialOver { boot: boot.id, to, link });
        let hello = self.hello(boot, link);
        let at = now + self.passage();
        self.queue.put(at, Event::Greeted { boot: peer, hello: Box::new(hello) });
    }

    /// A node that has dialled this one says hello.
    pub(super) fn greeted(&mut self, boot: &mut Boot, hello: Hello) {
        if !self.reaches(boot.node, hello.node) {
            return;
        }
        let name = self.names[hello.node].clone();
        let known = boot.overlay.superseding(&name, hello.incarnation);
        let own = (&boot.name, boot.incarnation);
        let (dialler, link) = (hello.boot, hello.link);
        let answer = match is_greeted(own, (&name, hello.incarnation), known) {
            Hearing::Link => {
                let own = self.hello(boot, link);
                self.establish(boot, hello, false);
                Answer::Welcome(own)
            }
            Hearing::Over { .. } => {
                self.count("member: an old boot refused");
                Answer::Over
            }
            // One process of a name runs at a time.
            Hearing::Myself { .. } => return,
        };
        let at = self.now + self.passage();
        self.queue
            .put(at, Event::Welcomed { boot: dialler, from: boot.node, link, answer: Box::new(answer) });
    }

    /// The answer of a node that was dialled. `false`: it knows a later boot of this node, which has to stop.
    pub(super) fn welcomed(
        &mut self,
        boot: &mut Boot,
        from: NodeIndex,
        link: LinkId,
        answer: Answer,
    ) -> bool {
        if !self.network.is_open(from, boot.node) {
            return true;
        }
        let waits = boot.dialling.get(&from).is_some_and(|dialling| dialling.link == link);
        match answer {
            Answer::Over if waits => return false,
            Answer::Over => {}
            // It was given up.
            Answer::Welcome(hello) if !waits => self.tell_closed(boot, from, (link, hello.boot)),
            Answer::Welcome(hello) => {
                let name = &self.names[from];
                let known = boot.overlay.superseding(name, hello.incarnation);
                let linked = is_welcomed(&boot.name, name, known) == Hearing::Link;
                if linked {
                    self.establish(boot, hello, true);
                } else {
                    self.tell_closed(boot, from, (link, hello.boot));
                }
                self.dialled(boot, from, linked);
            }
        }
        true
    }

    /// A dial has taken too long, if it still goes on.
    pub(super) fn dial_over(&mut self, boot: &mut Boot, to: NodeIndex, link: LinkId) {
        let over = |dialling: &Dialling| dialling.link == link && self.now >= dialling.until;
        if boot.dialling.get(&to).is_some_and(over) {
            self.dialled(boot, to, false);
        }
    }

    /// A dial has come to its end.
    fn dialled(&mut self, boot: &mut Boot, to: NodeIndex, reached: bool) {
        let dialling = boot.dialling.remove(&to).expect("who is dialled is noted");
        let share = self.choice.random_range(JITTER.0..=JITTER.1);
        let name = self.names[to].clone();
        let reached = reached.then(|| name.clone());
        boot.dials.ended(addr(to), reached.clone(), Duration::ZERO, share, self.now);
        let there = boot.overlay.members().map(|member| member.name()).filter(|member| **member == name);
        let absent = missed(there, dialling.expected.then_some(&name), reached.as_ref());
        let absent: Vec<_> = absent.into_iter().cloned().collect();
        for name in absent {
            boot.seen.entry(index_of(&name)).or_default().dial_failed = true;
            self.observe(boot, Observation::DialFailed { name });
        }
    }

    /// Puts a connection into use, unless the one that is in use wins against it.
    fn establish(&mut self, boot: &mut Boot, hello: Hello, dialled: bool) {
        let Hello { boot: peer, node, incarnation, link: id, members } = hello;
        let now = self.now;
        let link = Link::new(id, peer, incarnation, dialled, now);
        let newcomer = Newcomer { incarnation, dialled };
        let in_use = |held: &Link| InUse {
            incarnation: held.incarnation,
            // The process at the other end is gone, and so is its connection.
            closed: held.peer != peer,
            dialled: held.dialled,
            age: now.saturating_sub(held.since),
            silence: now.saturating_sub(held.heard(now)),
        };
        let smaller = boot.name < self.names[node];
        let outcome = boot.links.get(&node).map(|held| in_use(held).against(newcomer, smaller));
        if outcome == Some(Outcome::Stays) {
            self.count("link: the one in use stays");
            self.retire(boot, node, link);
        } else {
            let old = boot.links.insert(node, link);
            match old.zip(outcome) {
                Some((old, Outcome::Closed)) => {
                    self.count("link: a silent one is replaced");
                    self.close_link(boot, node, (old.id, old.peer));
                }
                Some((old, _)) => {
                    self.count("link: one is replaced and retired");
                    self.retire(boot, node, old);
                }
                None => {}
            }
            let name = self.names[node].clone();
            self.observe(boot, Observation::LinkUp { name, incarnation, addr: addr(node) });
            let told = unlinked_members(
                members,
                |name| name,
                &boot.name,
                |name| boot.links.contains_key(&index_of(name)),
            );
            told.iter().for_each(|name| self.dial(boot, index_of(name), true));
        }
        // Whichever is in use, both are read from.
        self.subscribe(boot, (node, id), node, incarnation, true);
        if asks_first(dialled) {
            self.ask(boot, node, id);
        }
    }

    /// Keeps a link for what is in flight on it, then closes it.
    fn retire(&mut self, boot: &mut Boot, peer: NodeIndex, link: Link) {
        let close = Event::Retired { boot: boot.id, link: link.id };
        self.queue.put(self.now + limits::LINK_RETIRE, close);
        boot.retired.insert(link.id, (peer, link));
    }

    /// A link was retired long enough ago.
    pub(super) fn retired(&mut self, boot: &mut Boot, link: LinkId) {
        if let Some((peer, link)) = boot.retired.remove(&link) {
            self.close_link(boot, peer, (link.id, link.peer));
        }
    }

    /// Closes a link that is not in use any more, and tells the other end.
    fn close_link(&mut self, boot: &mut Boot, peer: NodeIndex, (link, other): (LinkId, BootId)) {
        self.end_streams(boot, link);
        self.tell_closed(boot, peer, (link, other));
    }

    /// Closes a connection, of which the other end hears.
    fn tell_closed(&mut self, boot: &Boot, peer: NodeIndex, (link, other): (LinkId, BootId)) {
        if self.network.is_open(boot.node, peer) {
            let at = self.now + self.passage();
            self.queue.put(at, Event::Closed { boot: other, from: boot.node, link });
        }
    }

    /// The other end has closed a link.
    pub(super) fn closed(&mut self, boot: &mut Boot, from: NodeIndex, link: LinkId) {
        if boot.links.get(&from).is_some_and(|held| held.id == link) {
            return self.link_down(boot, from, false);
        }
        if boot.retired.remove(&link).is_some() {
            self.end_streams(boot, link);
        }
    }

    /// The peer of a link is forgotten.
    pub(super) fn hang_up(&mut self, boot: &mut Boot, peer: NodeIndex, link: LinkId) {
        let held = boot.links.get(&peer).filter(|held| held.id == link);
        if let Some(other) = held.map(|held| held.peer) {
            self.count("link: its peer is forgotten");
            self.tell_closed(boot, peer, (link, other));
            self.link_down(boot, peer, false);
        }
    }

    /// Closes the links from which nothing comes: QUIC does, or the node where QUIC waits for longer. Here a transport
    /// that is worse than QUIC waits for ever.
    pub(super) fn close_silent(&mut self, boot: &mut Boot) {
        let now = self.now;
        boot.awake.round(now - boot.since);
        let quic = if self.plan.unreliable { Duration::MAX } else { limits::LINK_IDLE_TIMEOUT };
        let is_silent = |link: &Link| {
            let heard = link.heard(now);
            now.saturating_sub(heard) > quic || boot.awake.gives_up(heard.saturating_sub(boot.since))
        };
        let silent = boot.links.iter().filter(|(_, link)| is_silent(link)).map(|(peer, _)| *peer);
        let silent: Vec<_> = silent.collect();
        if self.plan.unreliable {
            self.count_all("link: given up by the node", silent.len());
        }
        silent.into_iter().for_each(|peer| self.link_down(boot, peer, false));
    }

    /// A link in use is gone; `left`: because the peer left.
    pub(super) fn link_down(&mut self, boot: &mut Boot, peer: NodeIndex, left: bool) {
        let Some(link) = boot.links.remove(&peer) else { return };
        self.end_streams(boot, link.id);
        let (name, incarnation) = (self.names[peer].clone(), link.incarnation);
        let observation = match left {
            true => Observation::Goodbye { name, incarnation },
            false => Observation::LinkDown { name, incarnation },
        };
        self.observe(boot, observation);
    }

    fn end_streams(&mut self, boot: &mut Boot, link: LinkId) {
        boot.servers.retain(|_, serving| serving.link != link);
        let ended: Vec<_> = boot
            .followers
            .iter()
            .filter(|(_, taker)| taker.link == link)
            .map(|(stream, _)| *stream)
            .collect();
        ended.into_iter().for_each(|stream| self.broken(boot, stream));
    }

    fn hello(&self, boot: &Boot, link: LinkId) -> Hello {
        let told = boot.overlay.members().filter(|member| member.state().is_told());
        let members = told.map(|member| member.name().clone()).collect();
        Hello { boot: boot.id, node: boot.node, incarnation: boot.incarnation, link, members }
    }

    /// Whether a connection to a node comes about, and a question gets its answer.
    pub(super) fn reaches(&self, one: NodeIndex, other: NodeIndex) -> bool {
        self.network.is_open(one, other) && self.network.is_open(other, one) && self.running(other).is_some()
    }

    /// How long a packet of a handshake takes that is sent now. What is lost is sent again.
    fn passage(&mut self) -> Duration {
        let again = if self.network.loses() { RETRANSMISSION } else { Duration::ZERO };
        self.network.delay() + again
    }
}
