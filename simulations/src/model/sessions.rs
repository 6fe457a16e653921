//! Clients of the fast level, and what a node does with their sessions: the product's rules (`policy`), in the order of
//! its `router/lease` and `router/supersede`, over messages of the model and without sockets.
//!
//! Left out: relays, and the bound on a user's sessions.

use pushmesh::config::Takeover;
use pushmesh::id::Stamp;
use pushmesh::internals::policy::{self, Ask, Claiming, Door, Fate, Standing};
use pushmesh::internals::{ClaimState, Key, Lost, MemberState, Owned};
use pushmesh::{NodeName, limits};

use crate::id::NodeIndex;
use crate::model::boot::{Boot, Opening, Session};
use crate::model::client::key_of;
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::Event;
use crate::model::message::{Asker, Message};
use crate::model::plan::{DEVICES, Token};

impl Cluster {
    /// A client connects to a node.
    pub(super) fn open(&mut self, user: u64, device: u64, node: NodeIndex, token: Token) {
        let Some(id) = self.running(node) else { return };
        let Some(mut boot) = self.boots[id].take() else { return };
        if !boot.left {
            let token = self.clients[(user * DEVICES + device) as usize].token(token);
            self.admit(&mut boot, user, device, token);
        }
        self.boots[id] = Some(boot);
    }

    fn admit(&mut self, boot: &mut Boot, user: u64, device: u64, token: Option<Stamp>) {
        let (key, takeover) = (key_of(user, device), self.plan.takeover);
        let shown = boot.replica.sessions_of(key.user);
        if policy::admit(takeover, usize::MAX, &shown, key.device, token).is_err() {
            return self.count("session: refused, because an older one stays");
        }
        let Some(held) = boot.replica.lookup(key) else {
            return self.claim(boot, user, device, token, None);
        };
        let (owner, stamp) = (held.owner.clone(), held.stamp);
        self.streams += 1;
        let number = self.streams;
        let (below, question) = match policy::door(takeover, Some(&held), token) {
            Door::Open => return self.claim(boot, user, device, token, None),
            Door::Own { below } if owner == boot.name => {
                return self.claim(boot, user, device, token, Some(below));
            }
            Door::Own { below } => {
                self.count("session: asks for the end of its earlier one");
                (below, Message::Yield { key, below, number, proven: token })
            }
            Door::Doubtful { below } => {
                self.count("session: asks whether the older one is there");
                (below, Message::Confirm { key, stamp, asker: Asker::Opening(number) })
            }
            Door::Shut => return self.count("session: refused, because an older one stays"),
        };
        self.ask_owner(boot, &owner, question);
        boot.openings.insert(number, Opening { user, device, token, below, hops: 0 });
        // Should nobody answer, it is known to be of the same client, or not to be there, all the same.
        let claims = Event::Claims { boot: boot.id, number };
        self.queue.put(self.now + limits::TAKEOVER_TIMEOUT, claims);
    }

    /// A client has waited for the end of its earlier session for long enough.
    pub(super) fn claims(&mut self, boot: &mut Boot, number: u64) {
        if let Some(Opening { user, device, token, below, .. }) = boot.openings.remove(&number) {
            self.claim(boot, user, device, token, Some(below));
        }
    }

    /// The answer to a question: whether another node has to be asked.
    pub(super) fn yielded(&mut self, boot: &mut Boot, number: u64, next: Option<NodeIndex>) {
        let Some(opening) = boot.openings.get_mut(&number) else { return };
        match next.filter(|next| *next != boot.node && opening.hops < limits::HOPS_MAX) {
            Some(next) => {
                opening.hops += 1;
                let (key, below) = (key_of(opening.user, opening.device), opening.below);
                let (owner, proven) = (self.names[next].clone(), opening.token);
                self.ask_owner(boot, &owner, Message::Yield { key, below, number, proven });
            }
            None => self.claims(boot, number),
        }
    }

    fn claim(&mut self, boot: &mut Boot, user: u64, device: u64, token: Option<Stamp>, below: Option<Stamp>) {
        let key = key_of(user, device);
        let (known, shown) = (boot.replica.known(key.user), boot.replica.lookup(key));
        let wall_ms = self.wall_ms(boot.node);
        let yielded = boot.sessions.get(&key).and_then(|session| session.superseded);
        let seen = yielded.map(|(_, stamp)| stamp);
        let Ok(claimed) = boot.replica.claim(key, wall_ms, seen, token, below, |_| {}) else {
            let current = self.clients[(user * DEVICES + device) as usize].token(Token::Last);
            let older = shown.is_some_and(|shown| Some(shown.stamp) < token);
            let own = token.is_some() && below == token.map(Stamp::after);
            if own && token == current && older {
                let what = format!("{} refuses who has proven {token:?} for {key:?}", boot.name);
                self.fail("who has the token of the last session is let in", what);
            }
            return self.count("session: refused, because an older one stays");
        };
        let stamp = claimed.stamp;
        let stands = shown.filter(|shown| {
            shown.state != ClaimState::Yielded && below.is_none_or(|below| shown.stamp >= below)
        });
        if self.plan.takeover == Takeover::RejectNewer && stands.is_some_and(|held| Some(held.stamp) != token)
        {
            let what = format!("{} lets in who has proven {token:?} for {key:?}", boot.name);
            self.fail("where a device is connected only its own token lets in", what);
        }
        self.history.claim(boot.id, boot.node, key, stamp);
        self.check_claim(boot, key, stamp, &known);
        self.check_own(boot);
        self.count(if token.is_some() { "session: resumed" } else { "session: opened" });
        let client = &mut self.clients[(user * DEVICES + device) as usize];
        client.former = client.session.replace((boot.id, stamp)).map(|(_, stamp)| stamp);
        let session = Session { stamp, succeeds: token, superseded: None, disputed: false };
        let older = boot.sessions.insert(key, session);
        if let Some(older) = older.filter(|older| older.superseded.is_none()) {
            let release = Event::Release { boot: boot.id, key, stamp: older.stamp };
            self.queue.put(self.now + limits::RELEASE_LINGER, release);
        }
        self.wrote(boot);
        self.supersede(boot, claimed.lost);
        let yielded = yielded.map(|(owner, stamp)| (self.names[owner].clone(), stamp));
        let (me, device) = (&boot.name.clone(), key.device);
        let claiming = Claiming { me, device, stamp, resumed: token, yielded: yielded.as_ref() };
        for Ask { owner, device, below, .. } in
            policy::asked_after(self.plan.takeover, claiming, claimed.displaced)
        {
            let key = Key { device, ..key };
            self.ask_owner(boot, &owner, Message::Yield { key, below, number: 0, proven: token });
        }
    }

    /// Nobody waits for a peer that may be gone.
    fn ask_owner(&mut self, boot: &mut Boot, owner: &NodeName, message: Message) {
        let state = boot.overlay.members().find(|member| member.name() == owner);
        if matches!(state.map(|member| member.state()), Some(MemberState::Alive | MemberState::Unreachable)) {
            self.send(boot, index_of(owner), message);
        }
    }

    /// A client goes.
    pub(super) fn close(&mut self, user: u64, device: u64) {
        let key = key_of(user, device);
        let Some((id, stamp)) = self.clients[(user * DEVICES + device) as usize].session else { return };
        let asleep = self.boots[id].as_deref().is_none_or(|boot| !self.is_awake(boot.node));
        if asleep {
            return;
        }
        let Some(mut boot) = self.boots[id].take() else { return };
        // One that was superseded is released later.
        if boot.sessions.get(&key).is_some_and(|held| held.stamp == stamp && held.superseded.is_none()) {
            self.release(&mut boot, key, stamp);
        }
        self.boots[id] = Some(boot);
    }

    /// A session is over: its claim is released.
    pub(super) fn release(&mut self, boot: &mut Boot, key: Key, stamp: Stamp) {
        let released = boot.replica.release(key, stamp);
        if released != self.history.release(boot.id, key, stamp) {
            let what = format!("{} released {key:?} with {stamp:?}: {released}", boot.name);
            self.fail("a node releases its own claim, by its stamp", what);
        }
        if boot.sessions.get(&key).is_some_and(|held| held.stamp == stamp) {
            boot.sessions.remove(&key);
        }
        if released {
            self.check_own(boot);
            self.wrote(boot);
        }
    }

    /// Sessions of a node lost against other claims.
    pub(super) fn supersede(&mut self, boot: &mut Boot, lost: Vec<Lost>) {
        for lost in lost {
            self.check_lost(boot, &lost);
            self.count("session: takeover lost");
            let Lost { key, stamp, winner, winner_stamp, .. } = lost;
            let Some(session) = live(boot, key, stamp) else { continue };
            match policy::fate(self.plan.takeover, session.succeeds, winner_stamp) {
                Fate::Closes => self.end_session(boot, key, stamp, (index_of(&winner), winner_stamp)),
                Fate::Disputed if !std::mem::replace(&mut session.disputed, true) => {
                    self.count("session: disputed");
                    self.settle(boot, key, stamp);
                }
                Fate::Disputed => {}
            }
        }
    }

    /// Looks at a dispute, and again after a while.
    fn settle(&mut self, boot: &mut Boot, key: Key, stamp: Stamp) {
        let doubt = match self.standing(boot, key, stamp) {
            Some(Standing::Undisputed) => {
                live(boot, key, stamp).into_iter().for_each(|session| session.disputed = false);
                return;
            }
            Some(Standing::Insists(held, below)) => {
                self.count("session: insists");
                let proven = live(boot, key, stamp).and_then(|session| session.succeeds);
                self.ask_owner(boot, &held.owner, Message::Yield { key, below, number: 0, proven });
                None
            }
            Some(Standing::Doubtful(held)) => Some(held),
            None => return,
        };
        let again = Event::Disputed { boot: boot.id, key, stamp, doubt };
        self.queue.put(self.now + limits::RELEASE_LINGER, again);
    }

    /// A dispute has lasted for a while.
    pub(super) fn disputed(&mut self, boot: &mut Boot, key: Key, stamp: Stamp, doubt: Option<Owned>) {
        if let Some(held) = doubt
            && self.standing(boot, key, stamp) == Some(Standing::Doubtful(held.clone()))
        {
            let asker = Asker::Session(stamp);
            self.send(boot, index_of(&held.owner), Message::Confirm { key, stamp: held.stamp, asker });
        }
        self.settle(boot, key, stamp);
    }

    fn standing(&self, boot: &mut Boot, key: Key, stamp: Stamp) -> Option<Standing> {
        let held = boot.replica.rival(key);
        let succeeds = live(boot, key, stamp)?.succeeds;
        Some(policy::standing(&boot.name, stamp, succeeds, held))
    }

    /// A peer asks whether that very session is here.
    pub(super) fn confirm(&mut self, boot: &mut Boot, from: NodeIndex, key: Key, stamp: Stamp, asker: Asker) {
        let stands = live(boot, key, stamp).is_some();
        self.send(boot, from, Message::Confirmed { key, stamp, asker, stands });
    }

    /// The answer, to the session that has doubted it or to the client that waits.
    pub(super) fn confirmed(
        &mut self,
        boot: &mut Boot,
        from: NodeIndex,
        (key, stamp, stands): (Key, Stamp, bool),
        asker: Asker,
    ) {
        match asker {
            Asker::Session(mine) if stands && live(boot, key, mine).is_some() => {
                self.count("session: gives way");
                self.end_session(boot, key, mine, (from, stamp));
                self.say_yielded(boot, key, mine);
            }
            Asker::Session(_) => {}
            Asker::Opening(number) if !stands => self.claims(boot, number),
            Asker::Opening(number) => {
                if boot.openings.remove(&number).is_some() {
                    self.count("session: refused, because an older one stays");
                }
            }
        }
    }

    fn end_session(&mut self, boot: &mut Boot, key: Key, stamp: Stamp, winner: (NodeIndex, Stamp)) {
        let Some(session) = live(boot, key, stamp) else { return };
        session.superseded = Some(winner);
        if session.succeeds.is_some_and(|earlier| winner.1 <= earlier) {
            let what = format!("{} ends {key:?} with {stamp:?} for {winner:?}", boot.name);
            self.fail("no session ends for an earlier one of its own client", what);
        }
        let release = Event::Release { boot: boot.id, key, stamp };
        self.queue.put(self.now + limits::RELEASE_LINGER, release);
    }

    fn say_yielded(&mut self, boot: &mut Boot, key: Key, stamp: Stamp) {
        if boot.replica.yielded(key, stamp) {
            self.history.yielded(boot.id, key, stamp);
            self.check_own(boot);
            self.wrote(boot);
        }
    }

    /// Another node has claimed a session that may be here, or is about to.
    pub(super) fn yields(
        &mut self,
        boot: &mut Boot,
        from: NodeIndex,
        (key, below, number): (Key, Stamp, u64),
        proven: Option<Stamp>,
    ) {
        let held = boot.sessions.get(&key).map(|session| (session.stamp, session.superseded));
        let next = match held {
            Some((stamp, before))
                if policy::yields(self.plan.takeover, (stamp, &boot.name), (below, &self.names[from])) =>
            {
                self.count("session: yielded");
                let own = proven.is_some_and(|proven| stamp <= proven);
                if self.plan.takeover == Takeover::RejectNewer && !own {
                    let me = &boot.name;
                    let what = format!("{me} ends {key:?} with {stamp:?} for who has proven {proven:?}");
                    self.fail("a token ends its own session and no later one", what);
                }
                self.end_session(boot, key, stamp, (from, below));
                self.say_yielded(boot, key, stamp);
                before.map(|(third, _)| third).filter(|third| *third != from)
            }
            Some(_) => None,
            None => boot.replica.lookup(key).map(|owned| index_of(&owned.owner)),
        };
        if number != 0 {
            self.send(boot, from, Message::Yielded { number, next: next.filter(|next| *next != boot.node) });
        }
    }
}

/// The session of a key that was claimed with that stamp, if it is not over.
fn live(boot: &mut Boot, key: Key, stamp: Stamp) -> Option<&mut Session> {
    boot.sessions.get_mut(&key).filter(|held| held.stamp == stamp && held.superseded.is_none())
}
