//! One incarnation of a peer: the evidence of its life, and the state that the evidence asks for.
//!
//! Evidence comes over two ways. *Packets* on the direct link are the peer's own and are known to
//! the accuracy of a tick. *Heartbeats* come by gossip, also through third nodes, so that one that
//! arrives now may have been sent some rounds ago.
//!
//! **The way to Dead.** Its clock starts where the evidence ran out, not where that was noticed:
//!
//! ```text
//!   last packet                                                     killed to hidden
//!   ├── idle_suspect ──┬────── dead_after ──────┤                   (defaults, in seconds)
//!   0                  3    │                   6
//!                      ▲    ▼ noticed by a tick: Suspect,
//!                      │      and a dial begins              ≤ 3.2
//!                      │      the dial fails                 ≤ 5.2 and a little
//!                      └ silent_since                        Dead 6.0 to 6.4
//! ```
//!
//! - A link that was silent makes it `last packet + idle_suspect`. A member without a link, which
//!   heartbeats carried, starts when it turns Suspect.
//! - Later evidence moves it on: a packet to `idle_suspect` after itself, a heartbeat to its arrival.
//!   A heartbeat moves it less, because it may be old; a heartbeat that arrives before the silence
//!   of a link is long enough to suspect costs nothing at all. chitchat's spread of the last ones
//!   takes a round or two, which fits. Still nobody is Dead before `dead_after` without heartbeat.
//! - A dial has to fail, after the last evidence. It is made while the silent link is still there:
//!   QUIC needs 5 s to give it up, and a dial that begins only then costs two more.
//! - The suspicion itself has to last for `suspicion_min`, however long the silence. A node that was
//!   stopped itself wakes up with old evidence about everybody; it listens before it buries.

use std::net::SocketAddr;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::membership::member::{Advert, AdvertState, GossipView, MemberState};
use crate::membership::overlay::change::Change;
use crate::membership::overlay::observation::Observation;
use crate::membership::overlay::timers::OverlayTimers;

/// One incarnation of a peer, and the evidence of its life.
#[derive(Debug)]
pub struct Member {
    name: NodeName,
    incarnation: Incarnation,
    state: MemberState,
    since: Duration,
    /// When it was Alive last; `None` while it is.
    not_alive_since: Option<Duration>,
    /// It is Suspect, and was Alive or Unreachable before.
    fallen: bool,
    addr: SocketAddr,
    advert: Option<Advert>,
    gossip: Hearing,
    heartbeat: u64,
    link: Option<Linked>,
    /// It said that it left, and its section is empty.
    left: bool,
    /// The start of the present way to Dead; may lie ahead.
    silent_since: Duration,
    /// A dial failed in the present suspicion, and since the last evidence in it.
    dial_failed: bool,
    /// The last heartbeat.
    heartbeat_at: Option<Duration>,
    /// The last heartbeat since the present state began.
    sign_at: Option<Duration>,
}

/// What gossip has said about a member so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Nothing: only the link has shown it.
    Untold,
    /// It exists, and was not live yet.
    Pending,
    /// It is live.
    Live,
    /// It was live, and is not any more.
    Lost,
}

#[derive(Debug, Clone, Copy)]
struct Linked {
    up_since: Duration,
    last_heard: Duration,
}

impl Member {
    /// Starts in doubt; the observation that showed it decides at once.
    pub(super) fn new(name: NodeName, incarnation: Incarnation, addr: SocketAddr, now: Duration) -> Self {
        Self {
            name,
            incarnation,
            state: MemberState::Suspect,
            since: now,
            not_alive_since: Some(now),
            fallen: false,
            addr,
            advert: None,
            gossip: Hearing::Untold,
            heartbeat: 0,
            link: None,
            left: false,
            silent_since: now,
            dial_failed: false,
            heartbeat_at: None,
            sign_at: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Its boot.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The last heartbeat that gossip has told of.
    pub(super) fn heartbeat(&self) -> u64 {
        self.heartbeat
    }

    /// Its state, as of the last observation or tick.
    #[must_use]
    pub fn state(&self) -> MemberState {
        self.state
    }

    /// When it entered that state, as time since this node started.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since
    }

    /// When it ceased to be Alive, or was first seen without being; `None` while it is Alive. Other
    /// states that it passes through since do not change it.
    #[must_use]
    pub fn not_alive_since(&self) -> Option<Duration> {
        self.not_alive_since
    }

    /// Its mesh address: the advertised one, or that of its link until gossip told of it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it said of itself last; `None` until that arrived.
    #[must_use]
    pub fn advert(&self) -> Option<&Advert> {
        self.advert.as_ref()
    }

    /// Whether a link to it is up, as far as that was reported.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    /// Whether it is Alive or Unreachable: something shows its life.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.state, MemberState::Alive | MemberState::Unreachable)
    }

    /// Whether it is Suspect, and was good before.
    pub(super) fn is_fallen(&self) -> bool {
        self.fallen
    }

    /// Whether no packet arrives from it on any link.
    pub(super) fn is_unheard(&self, timers: &OverlayTimers, now: Duration) -> bool {
        self.link.is_none_or(|link| now.saturating_sub(link.last_heard) > timers.idle_suspect)
    }

    /// Whether a packet of it arrived on its link within that time.
    pub(super) fn is_heard_within(&self, time: Duration, now: Duration) -> bool {
        self.link.is_some_and(|link| now.saturating_sub(link.last_heard) <= time)
    }

    /// Takes in one observation about it.
    pub(super) fn learn(&mut self, observation: Observation, timers: &OverlayTimers, now: Duration) {
        match observation {
            Observation::Gossip(view) => self.learn_gossip(view, now),
            Observation::LinkUp { addr, .. } => {
                if self.gossip == Hearing::Untold {
                    self.addr = addr;
                }
                self.link = Some(Linked { up_since: now, last_heard: now });
                self.dial_failed = false;
            }
            Observation::LinkHeard { last_heard, .. } => {
                // Without a link this is a late report about one that is gone.
                if let Some(link) = &mut self.link
                    && last_heard.min(now) > link.last_heard
                {
                    link.last_heard = last_heard.min(now);
                    self.silent_since = self.silent_since.max(link.last_heard + timers.idle_suspect);
                    self.dial_failed = false;
                }
            }
            Observation::LinkDown { .. } => self.link = None,
            // What failed before a suspicion is forgotten when the suspicion begins.
            Observation::DialFailed { .. } => self.dial_failed = true,
            Observation::Goodbye { .. } => self.left = true,
            Observation::SectionEmpty { .. } => {
                self.left |= self.advert.as_ref().is_some_and(|advert| advert.state == AdvertState::Left);
            }
        }
    }

    fn learn_gossip(&mut self, view: GossipView, now: Duration) {
        let revived = view.live && self.gossip != Hearing::Live;
        if view.heartbeat > self.heartbeat || revived {
            self.heartbeat_at = Some(now);
            self.sign_at = Some(now);
            self.silent_since = self.silent_since.max(now);
            self.dial_failed = false;
        }
        self.gossip = match self.gossip {
            _ if view.live => Hearing::Live,
            Hearing::Live | Hearing::Lost => Hearing::Lost,
            Hearing::Untold | Hearing::Pending => Hearing::Pending,
        };
        self.heartbeat = self.heartbeat.max(view.heartbeat);
        self.addr = view.addr;
        // An advert that cannot be read does not unsay the one before.
        self.advert = view.advert.or(self.advert.take());
    }

    /// The state that the evidence asks for now.
    pub(super) fn assess(&self, timers: &OverlayTimers, now: Duration) -> MemberState {
        if self.left {
            return MemberState::Left;
        }
        if let Some(proven) = self.proven(timers, now) {
            return proven;
        }
        match self.state {
            MemberState::Suspect if self.is_condemned(timers, now) => MemberState::Dead,
            MemberState::Dead if now.saturating_sub(self.since) >= timers.purge_after => MemberState::Purged,
            MemberState::Dead => MemberState::Dead,
            _ => MemberState::Suspect,
        }
    }

    /// Alive or Unreachable, if the evidence is good enough for either.
    fn proven(&self, timers: &OverlayTimers, now: Duration) -> Option<MemberState> {
        let within = |at: Duration| now.saturating_sub(at) <= timers.idle_suspect;
        if let Some(link) = self.link {
            let believed = self.gossip != Hearing::Lost || within(link.up_since);
            return (within(link.last_heard) && believed).then_some(MemberState::Alive);
        }
        // chitchat's own verdict lags by seconds, so that a member which is not doubted has a
        // grace of its own from where it entered its state, and then needs heartbeats like others.
        let doubted = matches!(self.state, MemberState::Suspect | MemberState::Dead);
        let sign = self.sign_at.or((!doubted).then_some(self.since));
        let heard = self.gossip == Hearing::Live && sign.is_some_and(within);
        heard.then_some(MemberState::Unreachable)
    }

    /// Whether a suspicion has come to its end.
    fn is_condemned(&self, timers: &OverlayTimers, now: Duration) -> bool {
        let suspected = now.saturating_sub(self.since);
        let silent = now.saturating_sub(self.silent_since);
        self.dial_failed && suspected >= timers.suspicion_min && silent >= timers.dead_after
    }

    /// Enters a state; what was learned in the one before counts no more.
    pub(super) fn enter(&mut self, state: MemberState, timers: &OverlayTimers, now: Duration) {
        self.fallen = self.is_good() && state == MemberState::Suspect;
        self.not_alive_since = match state {
            MemberState::Alive => None,
            _ => self.not_alive_since.or(Some(now)),
        };
        let ran_out = self.link.map_or(now, |link| link.last_heard + timers.idle_suspect);
        self.silent_since = self.heartbeat_at.unwrap_or_default().max(ran_out);
        self.state = state;
        self.since = now;
        self.dial_failed = false;
        self.sign_at = None;
    }

    /// Starts the way to Dead over.
    pub(super) fn start_over(&mut self, now: Duration) {
        self.silent_since = self.silent_since.max(now);
        self.dial_failed = false;
    }

    /// The change from one state to another, as others are told of it.
    pub(super) fn change(&self, from: Option<MemberState>, to: MemberState) -> Change {
        Change { name: self.name.clone(), incarnation: self.incarnation, from, to }
    }
}
