//! A session of this node takes over what its earlier owners have others hold.
//!
//! Each takeover is a task: what is answered, and what its own members tell, comes to it one after the other, and it does what
//! [`Takeover`] says in that order.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::copies::Copies;
use crate::copies::frame::LogFrame;
use crate::copies::gone::forgotten_after;
use crate::copies::group::group_of;
use crate::copies::takeovers::{Earlier, Event};
use crate::id::Stamp;
use crate::key::Key;
use crate::limits;
use crate::metrics::label::Task;
use crate::position::{Position, Segment};
use crate::quorum::{Boot, Deposed, Fence, News, OwnerEffect, Seal, SealAnswer, Takeover, TakeoverEffect};
use crate::session::{Copied, Copying, Session};

/// What a claim knows of the owners before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Former {
    /// Those who have owned the session.
    pub(crate) owners: Vec<Boot>,
    /// The session that its client has proven to be its own.
    pub(crate) shown: Option<Stamp>,
}

/// How far a takeover has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Another claim stands above it.
    pub(crate) outclaimed: bool,
    /// Something was taken.
    pub(crate) taken: bool,
    /// All that was stored is here.
    pub(crate) complete: bool,
    /// The client may be told of the session: whoever takes it over next finds all that this one does, also where it ends now.
    pub(crate) known: bool,
}

/// A takeover at work.
struct Taking {
    copies: Arc<Copies>,
    session: Weak<Session>,
    key: Key,
    takeover: Takeover<Copied>,
    /// What is here, and has no room at the session yet, or is above what may still come.
    full: Vec<(Position, Copied)>,
    has_room: bool,
    earlier: Earlier,
    events: mpsc::Sender<Event>,
    progress: watch::Sender<Progress>,
    over: bool,
}

impl Copies {
    /// A session of this node takes over what these have others hold of it. Nobody is asked where there is nobody.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        session: &Arc<Session>,
        former: Former,
    ) -> watch::Receiver<Progress> {
        let Former { mut owners, shown } = former;
        let (key, stamp) = (session.key(), session.stamp());
        let me = self.parts.me.clone();
        let has_members = self.has_members(key);
        let held = self.claim_anew(session, &mut owners);
        // Who is known to have followed knows more than those to whom this node was the last.
        let was_taken = self.group(group_of(key)).owner.taken_by(key).is_some();
        let is_last = owners.contains(&me) || !held.is_empty() || owners.is_empty() && was_taken;
        let is_former = has_members && is_last;
        // Where nobody holds what this node accepts, or it has never owned the session, nobody can have taken anything over from it.
        owners.retain(|owner| *owner != me);
        let follows = (!owners.is_empty() || is_former) && owners.len() < limits::OWNERS_FOLLOWED_MAX;
        // Whoever has followed may have what is missing below it.
        let may_lack = follows && (was_taken || !owners.is_empty());
        let (held, full) = self.take_held(session, held, may_lack);
        if owners.is_empty() && !is_former {
            session.taken_over();
            return watch::channel(Progress { complete: true, known: true, ..Progress::default() }).1;
        }
        if is_former {
            owners.push(me.clone());
        }
        owners.sort_unstable();
        owners.dedup();
        if owners.len() > limits::OWNERS_FOLLOWED_MAX {
            session.taken_over();
            return watch::channel(Progress::default()).1; // Its client is told that something may be missing.
        }
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (progress, watched) = watch::channel(Progress::default());
        let is_taken = held.iter().any(|at| at.is_message() && session.holds(*at));
        progress.send_modify(|progress| progress.taken = is_taken);
        let mut takeover = Takeover::new(key, Fence { stamp, by: me }, shown, owners);
        held.into_iter().filter(|at| has(session, &full, *at)).for_each(|at| takeover.has(at));
        self.takeovers.begin(key, stamp, events.clone());
        let taking = Taking {
            copies: Arc::clone(self),
            session: Arc::downgrade(session),
            key,
            takeover,
            full,
            has_room: true,
            earlier: Earlier::default(),
            events,
            progress,
            over: false,
        };
        // Before anything is written for it.
        taking.follow(false);
        tokio::spawn(self.parts.vitals.contained(Task::Takeover, taking.run(inbox)));
        watched
    }

    /// What the own group holds of an earlier claim of this boot is held for this one. Returns that, and adds the owners that the earlier
    /// claim has followed.
    fn claim_anew(&self, session: &Session, owners: &mut Vec<Boot>) -> Vec<(Position, Copied)> {
        let (key, stamp) = (session.key(), session.stamp());
        let mut held = Vec::new();
        self.act_in(group_of(key), |of| {
            // That a client was away is of the session before: a member that hears no more than the claim is not to keep this one on.
            let before = Position::of_absence(Stamp::from_raw(stamp.raw().saturating_sub(1)));
            let mut effects = of.trim(key, before);
            held.extend(of.owner.held(key).map(|entry| (entry.at, entry.message)));
            owners.extend(of.owner.follows(key).cloned());
            if !held.is_empty() {
                let deposed = |Deposed(fence)| vec![OwnerEffect::Tell(News::Deposed { key, fence })];
                effects.extend(of.owner.claim(key, stamp).unwrap_or_else(deposed));
            }
            effects
        });
        held
    }

    /// The session takes what its own group holds; its messages later, where others may have some that stand below them: what is not
    /// there when they are taken is told to be missing. Returns where all of it stands, and what is not taken yet.
    fn take_held(
        &self,
        session: &Session,
        mut held: Vec<(Position, Copied)>,
        may_lack: bool,
    ) -> (Vec<Position>, Vec<(Position, Copied)>) {
        let at: Vec<_> = held.iter().map(|(at, _)| *at).collect();
        let waits = held.extract_if(.., |(at, _)| may_lack && at.is_message()).collect::<Vec<_>>();
        let mut full = if held.is_empty() { Vec::new() } else { session.adopt_copied(held) };
        full.extend(waits);
        let key = session.key();
        at.iter().filter(|at| is_had(session, &full, **at)).for_each(|at| self.trim(key, *at));
        (at, full)
    }

    /// Nothing is missing of these segments that others were to hold.
    pub(crate) fn seal(&self, session: &Session, segments: &[Segment]) {
        for segment in segments {
            let (node, key, stamp) = (&self.parts.me.name, session.names(), session.stamp().raw());
            debug!(target: "pushmesh::ownership", %node, %key, stamp, %segment, "a segment is sealed");
        }
        if !segments.is_empty() {
            session.sealed(segments);
        }
    }

    /// The client of a session is told of it while its takeover is not complete.
    pub(crate) fn opened(&self, session: &Session, earlier: Earlier) {
        self.takeovers.tell(session.key(), Some(session.stamp()), Event::Opened(earlier));
    }
}

impl Taking {
    async fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        let began = Instant::now();
        let mut pause = ASKED_AGAIN_MIN;
        let mut next = began + pause;
        let mut gives_up = Some(began + self.copies.parts.resume_timeout);
        let owners: Vec<_> = self.takeover.owners().cloned().collect();
        owners.iter().for_each(|owner| self.locate(owner));
        // What is here already is the session's, however the takeover ends.
        while !(self.over && self.full.is_empty()) && self.session.strong_count() > 0 && self.is_current() {
            let now = Instant::now();
            if gives_up.is_some_and(|at| now >= at) {
                gives_up = None;
                let effects = self.takeover.give_up();
                self.carry_out(effects);
                self.adopt_again();
            }
            tokio::select! {
                event = inbox.recv() => match event {
                    Some(event) => self.happened(event),
                    None => break,
                },
                () = sleep_until(next) => {
                    self.ask_again();
                    pause = (2 * pause).min(ASKED_AGAIN_MAX);
                    next = Instant::now() + pause;
                    if now.saturating_duration_since(began) > forgotten_after(self.copies.parts.keep_max) {
                        break;
                    }
                }
            }
        }
        let stamp = self.takeover.fence().stamp;
        self.copies.takeovers.end(self.key, stamp);
        // What was told before that is heard: of the client that was told meanwhile nobody else knows.
        while let Ok(event) = inbox.try_recv() {
            if let Event::Opened(earlier) = event {
                self.opened(earlier);
            }
        }
        if let Some(session) = self.session.upgrade() {
            session.taken_over();
        }
        self.copies.act_for(self.key, |of| of.follow_no_more(self.key, stamp, false));
    }

    /// Whether no later claim of this node has begun to take the session over. What this one would take from now on, the client of that one
    /// may have acknowledged already.
    fn is_current(&self) -> bool {
        self.copies.takeovers.is_current(self.key, self.takeover.fence().stamp)
    }

    fn happened(&mut self, event: Event) {
        if (self.over || !self.is_current()) && !matches!(event, Event::Opened(_)) {
            return;
        }
        let effects = match event {
            Event::Answered { group, from, answer } => {
                self.say_answered(&group, &from, &answer);
                let effects = self.takeover.answered(&group, &from, answer);
                if self.takeover.owners().count() > limits::OWNERS_FOLLOWED_MAX {
                    self.give_up();
                    return;
                }
                effects
            }
            Event::Announced { group, config } => self.takeover.announced(&group, &config),
            Event::Stored(at) => self.takeover.stored(at),
            Event::Trimmed(upto) => self.takeover.trimmed(upto),
            Event::Opened(earlier) => {
                self.opened(earlier);
                Vec::new()
            }
            Event::Followed => {
                self.progress.send_modify(|progress| progress.known = true);
                Vec::new()
            }
            Event::Replaced => Vec::new(),
        };
        self.carry_out(effects);
    }

    /// It would have to ask the groups of more owners than its own members can be told of.
    fn give_up(&mut self) {
        self.over = true;
        self.adopt_again();
        if let Some(session) = self.session.upgrade() {
            session.give_up_resuming();
        }
    }

    /// The client was told of the session. Where it is complete already, that comes after.
    fn opened(&mut self, earlier: Earlier) {
        self.earlier = earlier;
        if self.is_complete() {
            self.seal();
        }
    }

    /// The session takes what is there. What it has no room for waits for that, and those who hold it hold it on.
    fn adopt(&mut self, entries: Vec<(Position, Copied)>) {
        let Some(session) = self.session.upgrade() else { return };
        let at: Vec<_> = entries.iter().map(|(at, _)| *at).collect();
        let full = session.adopt_copied(entries);
        let is_taken = at.iter().any(|at| at.is_message());
        self.progress.send_modify(|progress| progress.taken |= is_taken);
        let (had, over): (Vec<_>, Vec<_>) =
            at.into_iter().filter(|at| !has(&session, &full, *at)).partition(|at| !session.owes(*at));
        self.full.extend(full);
        for at in had {
            // The own group may hold it as well.
            self.copies.act_in(group_of(self.key), |of| of.trim(self.key, at));
            let effects = self.takeover.trimmed(at);
            self.carry_out(effects);
        }
        // The time of these messages is over. What stands before them is needed, and they are not.
        for at in over {
            let effects = self.takeover.stored(at);
            self.carry_out(effects);
        }
    }

    /// There may be room by now for what has waited for it.
    fn adopt_again(&mut self) {
        if self.full.is_empty() || self.takeover.waits() && !self.over {
            return;
        }
        let full = std::mem::take(&mut self.full);
        self.adopt(full);
        if self.is_complete() {
            self.complete();
            self.over |= self.takeover.is_settled();
        }
    }

    /// Whether nothing is missed, and the session has it.
    fn is_complete(&self) -> bool {
        self.takeover.is_complete() && self.full.is_empty()
    }

    fn ask_again(&mut self) {
        if !self.is_current() {
            return;
        }
        self.adopt_again();
        if self.over {
            return;
        }
        let over: Vec<_> =
            self.takeover.asked().into_iter().filter(|boot| self.copies.is_over(boot)).collect();
        for boot in over {
            let effects = self.takeover.over(&boot);
            self.carry_out(effects);
        }
        let effects = self.takeover.ask();
        self.carry_out(effects);
        self.follow(true);
    }

    /// The members of the own group are told whose groups may hold more, `now` or once anything is written.
    fn follow(&self, now: bool) {
        if self.over || self.takeover.is_complete() {
            return;
        }
        // With the own group, where that is not sealed yet: whoever follows nobody has all.
        let owners = self.takeover.owners().cloned().collect();
        let (key, stamp) = (self.key, self.takeover.fence().stamp);
        self.copies.act_for(key, |of| of.follow(key, stamp, owners, now));
    }

    fn locate(&mut self, owner: &Boot) {
        let group = group_of(self.key);
        let config = self.copies.configs.get(owner, group);
        match config {
            Some(config) => {
                let effects = self.takeover.announced(owner, &config);
                self.carry_out(effects);
            }
            // Its members know who they are.
            None => {
                let seal = self.takeover.seal();
                for to in self.copies.peers.well(Instant::now()) {
                    self.ask(to, owner.clone(), seal.clone());
                }
                self.ask(self.copies.parts.me.clone(), owner.clone(), seal);
            }
        }
    }

    fn ask(&mut self, to: Boot, group: Boot, seal: Seal) {
        if to == self.copies.parts.me {
            let answer = self.copies.holding.seal(&group, seal);
            let _ = self.events.try_send(Event::Answered { group, from: to, answer });
            return;
        }
        self.copies.peers.send(&to, LogFrame::Seal { owner: group, seal });
    }

    fn carry_out(&mut self, effects: Vec<TakeoverEffect<Copied>>) {
        for effect in effects {
            self.say(&effect);
            match effect {
                TakeoverEffect::Ask { to, group, seal } => self.ask(to, group, seal),
                TakeoverEffect::Locate(owner) => self.locate(&owner),
                TakeoverEffect::Taken(entries) => {
                    let mut all = std::mem::take(&mut self.full);
                    all.extend(entries.into_iter().map(|entry| (entry.at, entry.message)));
                    self.adopt(all);
                    let had_room = std::mem::replace(&mut self.has_room, self.full.is_empty());
                    if had_room && !self.has_room {
                        let (key, messages) = (&self.key, self.full.len());
                        warn!(
                            ?key,
                            messages,
                            "there is no room for what others hold for a client that is back: raise --kept-bytes-total"
                        );
                    }
                }
                TakeoverEffect::Complete if self.full.is_empty() => self.complete(),
                TakeoverEffect::Complete => self.adopt_again(),
                TakeoverEffect::Settled => {
                    self.progress.send_modify(|progress| progress.known = true);
                    self.over = self.full.is_empty();
                }
                TakeoverEffect::Release { to, group, release } => self.copies.release(&to, &group, release),
                TakeoverEffect::Exhausted => {
                    self.adopt_again();
                    if let Some(session) = self.session.upgrade() {
                        session.give_up_resuming();
                    }
                }
                TakeoverEffect::Refused(above) => {
                    self.over = true;
                    self.adopt_again();
                    self.progress.send_modify(|progress| progress.outclaimed = above.is_some());
                    if let Some(fence) = above {
                        // Whoever comes after that claim does not ask this node's group.
                        self.copies.act(group_of(self.key), |owner| owner.depose(self.key, fence.clone()));
                        self.copies.outclaimed_by(self.key, fence);
                    }
                }
            }
        }
        self.follow(false);
    }

    fn seal(&self) {
        let segments = self.earlier.sealed(self.progress.borrow().taken);
        if let Some(session) = self.session.upgrade() {
            self.copies.seal(&session, segments);
        }
    }

    fn say_answered(&self, group: &Boot, from: &Boot, answer: &SealAnswer<Copied>) {
        let (key, stamp, owner, from) =
            (&self.key, self.takeover.fence().stamp.raw(), &group.name, &from.name);
        match answer {
            SealAnswer::Tail { epoch, configs, entries, beyond } => {
                debug!(?key, stamp, %owner, %from, epoch, ?configs, messages = entries.len(), ?beyond, "a member has sealed");
            }
            answer => debug!(?key, stamp, %owner, %from, ?answer, "a member has not sealed"),
        }
    }

    fn say(&self, effect: &TakeoverEffect<Copied>) {
        let (key, stamp) = (self.key, self.takeover.fence().stamp.raw());
        match effect {
            TakeoverEffect::Taken(entries) => {
                debug!(?key, stamp, messages = entries.len(), "taken over from other nodes");
            }
            TakeoverEffect::Complete => {
                debug!(?key, stamp, "nothing is missed that other nodes were to hold")
            }
            TakeoverEffect::Settled => debug!(?key, stamp, "what was taken over is held by the next ones"),
            TakeoverEffect::Exhausted => debug!(?key, stamp, "nobody is left who could hold the rest"),
            TakeoverEffect::Refused(above) => {
                debug!(?key, stamp, ?above, "another claim stands above this one")
            }
            TakeoverEffect::Ask { .. } | TakeoverEffect::Locate(_) | TakeoverEffect::Release { .. } => {}
        }
    }

    /// All that was stored is here.
    fn complete(&mut self) {
        self.seal();
        // Where nobody holds what this node accepts nobody is to be waited for.
        let alone = !self.copies.has_members(self.key);
        self.progress.send_modify(|progress| {
            progress.complete = true;
            progress.known |= alone;
        });
        let (key, stamp) = (self.key, self.takeover.fence().stamp);
        self.copies.act_for(key, |of| of.follow_no_more(key, stamp, true));
    }
}

/// Whether an entry is here: the session owes it to its client, or has no room for it yet.
fn has(session: &Session, full: &[(Position, Copied)], at: Position) -> bool {
    session.holds(at) || full.iter().any(|(of, _)| *of == at)
}

/// Whether the client has it: that, and all before it in its segment, nobody needs to hold any more.
fn is_had(session: &Session, full: &[(Position, Copied)], at: Position) -> bool {
    !session.owes(at) && !full.iter().any(|(of, _)| *of == at)
}

/// Events that wait for a takeover. Arithmetic: more than a session holds messages, with the defaults.
const EVENTS_MAX: usize = 4_096;
/// First pause before members that have not answered are asked again; doubles up to [`ASKED_AGAIN_MAX`]. Guess: some round trips.
const ASKED_AGAIN_MIN: Duration = Duration::from_millis(25);
/// Longest pause so. Source: the design.
const ASKED_AGAIN_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
