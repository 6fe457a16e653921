//! The claims of the sessions of a node of the fast level: made, yielded and released, under the eyes of the checks.

use pushmesh::NodeName;
use pushmesh::config::Takeover;
use pushmesh::id::Stamp;
use pushmesh::internals::{ClaimState, Claimed, Ending, Key, released_after};

use crate::model::boot::{Boot, Session};
use crate::model::client::key_of;
use crate::model::cluster::Cluster;
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
        // It may be one that waits for the answers of those whom its claim excludes.
        boot.waiting.retain(|_, waiting| {
            waiting.claimed != Some(stamp) || key_of(waiting.user, waiting.device) != key
        });
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
            self.check_lingered(boot, key, session.ending.as_ref());
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
}
