//! The claims of the sessions of a node of the fast level: made, yielded and released, under the eyes of the checks.

use pushmesh::config::Takeover;
use pushmesh::id::Stamp;
use pushmesh::internals::{ClaimState, Claimed, Ending, Key, released_after};
use pushmesh::{NodeName, limits};

use crate::model::boot::{Boot, Session};
use crate::model::client::key_of;
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::Event;
use crate::model::plan::{DEVICES, Token};

impl Cluster {
    /// Claims a key for a client. Also: to whom the last session here had to yield. `None`: an older one stays.
    pub(super) fn claim(
        &mut self,
        boot: &mut Boot,
        user: u64,
        device: u64,
        token: Option<Stamp>,
        below: Option<Stamp>,
    ) -> Option<(Claimed, Option<(NodeName, Stamp)>)> {
        let key = key_of(user, device);
        let (known, shown) = (boot.replica.known(key.user), boot.replica.lookup(key));
        let wall_ms = self.wall_ms(boot.node);
        let ending = boot.sessions.get(&key).and_then(|session| session.ending.clone());
        let yielded = ending.and_then(|(ending, _)| ending.successor());
        let seen = yielded.as_ref().map(|(_, stamp)| *stamp);
        let Ok(claimed) = boot.replica.claim(key, wall_ms, seen, token, below, |_| {}) else {
            let current = self.clients[(user * DEVICES + device) as usize].token(Token::Last);
            let older = shown.is_some_and(|shown| Some(shown.stamp) < token);
            let own = token.is_some() && below == token.map(Stamp::after);
            if own && token == current && older {
                let what = format!("{} refuses who has proven {token:?} for {key:?}", boot.name);
                self.fail("who has the token of the last session is let in", what);
            }
            return None;
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
        self.register(boot, key, stamp, token);
        self.wrote(boot);
        Some((claimed, yielded))
    }

    /// A session takes the place of the one before.
    fn register(&mut self, boot: &mut Boot, key: Key, stamp: Stamp, token: Option<Stamp>) {
        let session = Session { stamp, succeeds: token, ending: None, dispute: None };
        let older = boot.sessions.insert(key, session);
        if let Some(older) = older.filter(|older| older.ending.is_none()) {
            let ending = Ending::Superseded { owner: boot.name.clone(), stamp };
            self.release_after(boot, key, older.stamp, &ending);
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
        // One that is over is released already, or will be.
        if boot.sessions.get(&key).is_some_and(|held| held.stamp == stamp && held.ending.is_none()) {
            self.release(&mut boot, key, stamp);
        }
        self.boots[id] = Some(boot);
    }

    /// A session of a node ends for another claim.
    pub(super) fn end_session(&mut self, boot: &mut Boot, key: Key, stamp: Stamp, ending: Ending) {
        let session = boot.sessions.get_mut(&key).filter(|held| held.stamp == stamp);
        let Some(session) = session.filter(|held| held.ending.is_none()) else { return };
        session.ending = Some((ending.clone(), self.now));
        let winner = ending.clone().successor();
        if session.succeeds.is_some_and(|earlier| winner.is_some_and(|(_, stamp)| stamp <= earlier)) {
            let what = format!("{} ends {key:?} with {stamp:?}: {ending:?}", boot.name);
            self.fail("no session ends for an earlier one of its own client", what);
        }
        self.release_after(boot, key, stamp, &ending);
    }

    fn release_after(&mut self, boot: &mut Boot, key: Key, stamp: Stamp, ending: &Ending) {
        match released_after(Some(ending)) {
            Some(lingers) => {
                self.queue.put(self.now + lingers, Event::Release { boot: boot.id, key, stamp });
            }
            None => self.release(boot, key, stamp),
        }
    }

    /// A session is over: its claim is released.
    pub(super) fn release(&mut self, boot: &mut Boot, key: Key, stamp: Stamp) {
        let released = boot.replica.release(key, stamp);
        if released != self.history.release(boot.id, key, stamp) {
            let what = format!("{} released {key:?} with {stamp:?}: {released}", boot.name);
            self.fail("a node releases its own claim, by its stamp", what);
        }
        if let Some(session) = boot.sessions.get(&key).filter(|held| held.stamp == stamp) {
            if let Some((Ending::Superseded { owner, .. }, since)) = &session.ending
                && self.now - *since < limits::RELEASE_LINGER
            {
                let what =
                    format!("{} releases {key:?} {:?} after {owner} has it", boot.name, self.now - *since);
                self.fail("a claim stays until that of its successor is known", what);
            }
            boot.sessions.remove(&key);
        }
        if released {
            self.check_own(boot);
            self.wrote(boot);
        }
    }

    /// A claim says from now on that it has yielded.
    pub(super) fn say_yielded(&mut self, boot: &mut Boot, key: Key, stamp: Stamp) {
        if boot.replica.yielded(key, stamp) {
            self.history.yielded(boot.id, key, stamp);
            self.check_own(boot);
            self.wrote(boot);
        }
    }

    /// A session ends because another node asks for it.
    pub(super) fn check_yields(
        &mut self,
        boot: &Boot,
        key: Key,
        stamp: Stamp,
        (below, from): (Stamp, &NodeName),
        proven: Option<Stamp>,
    ) {
        let me = &boot.name;
        match self.plan.takeover {
            Takeover::RejectNewer if proven.is_none_or(|proven| stamp > proven) => {
                let what = format!("{me} ends {key:?} with {stamp:?} for who has proven {proven:?}");
                self.fail("a token ends its own session and no later one", what);
            }
            Takeover::RejectNewer => {}
            _ if (below, from) <= (stamp, me) => {
                let what = format!("{me} ends {key:?} with {stamp:?} for {below:?} of {from}");
                self.fail("a session ends only for a later claim", what);
            }
            _ => {}
        }
    }

    /// An owner says that it has the session of a claim.
    pub(super) fn check_confirms(&mut self, boot: &Boot, key: Key, stamp: Stamp) {
        self.history.confirm(boot.node, key, stamp);
        let held = self.history.now(boot.id);
        if !held.contains(&(key, stamp)) {
            let what = format!("{} confirms {key:?} with {stamp:?}, and has {held:?}", boot.name);
            self.fail("an owner confirms what it has claimed, and nothing else", what);
        }
    }

    /// A disputed session ends for the claim of another node.
    pub(super) fn check_gives_way(&mut self, boot: &Boot, key: Key, ending: &Ending) {
        let winner = ending.clone().successor();
        if winner.is_none_or(|(owner, stamp)| !self.history.was_confirmed(index_of(&owner), key, stamp)) {
            let what = format!("{} gives {key:?} up: {ending:?}", boot.name);
            self.fail("a session gives way only to a claim whose owner has confirmed it", what);
        }
    }

    /// A session has let go because it was asked to.
    pub(super) fn check_says_so(&mut self, boot: &Boot, key: Key, stamp: Stamp) {
        let known = boot.replica.known(key.user);
        let mut own = known.iter().filter(|known| known.key == key && known.holder.owner == boot.name);
        let silent = own.any(|own| own.claim.stamp == stamp && own.claim.state != ClaimState::Yielded);
        if self.plan.takeover == Takeover::RejectNewer && silent {
            let what = format!("{} lets {key:?} with {stamp:?} go: {known:?}", boot.name);
            self.fail("a claim whose session has yielded says so", what);
        }
    }
}
