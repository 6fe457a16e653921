//! A session that opens takes over what other nodes hold of it, and how long its client waits for that.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::copies::{self, Former, Progress};
use crate::directory::Owned;
use crate::id::Stamp;
use crate::key::DeviceHash;
use crate::limits;
use crate::ownership::Answer;
use crate::position::Segment;
use crate::quorum::Boot;
use crate::router::Router;
use crate::session::{Earlier, Session};

/// What other nodes hold of a session is taken over.
pub(super) struct TakingOver {
    progress: watch::Receiver<Progress>,
    /// Who has owned it, in which segments.
    former: Vec<(Boot, Segment)>,
    /// Of a segment that its client names nobody knows any more who has owned it.
    gone: bool,
    /// This node is among its earlier owners.
    own: bool,
    /// No other sessions have to go for it.
    alone: bool,
    until: Instant,
}

/// What the owners of a session have said themselves.
pub(super) struct Said {
    by: BTreeSet<Boot>,
    /// The session is over, by the word of its last owner.
    over: bool,
    token: Option<Segment>,
}

impl Said {
    /// This boot knows of itself, and nobody else has said anything. `token`: the segment of the last owner, as the client has shown.
    pub(super) fn new(me: &Boot, token: Option<Segment>) -> Self {
        Self { by: BTreeSet::from([me.clone()]), over: false, token }
    }

    /// An owner has answered, or nobody. `claimed`: there was a session by then that could take what the owner owes. Whoever lets go
    /// before has not said what that is, and says it when it is asked again.
    pub(super) fn heard(&mut self, owner: Option<Boot>, answer: &Answer, claimed: bool) {
        let says_nothing = *answer == Answer::Silent || *answer == Answer::Yes && !claimed;
        let Some(owner) = owner.filter(|_| !says_nothing) else { return };
        self.over |= *answer == Answer::No && self.token.is_some_and(|token| owner.numbers(token));
        self.by.insert(owner);
    }
}

impl TakingOver {
    /// Its client is about to be told of the session. These boots have said themselves what they owe it: that counts for their
    /// segments, and for the others what other nodes hold.
    pub(super) fn open(&self, router: &Router, session: &Arc<Session>, said: &Said, earlier: &mut Earlier) {
        let all = self.former.iter().map(|(_, segment)| *segment).collect();
        // Where the session is over by the word of its last owner, nothing before counts.
        let silent = self.former.iter().filter(|(owner, _)| !(said.by.contains(owner) || said.over));
        let silent = silent.map(|(_, segment)| *segment).collect();
        let segments = copies::Earlier { all, silent };
        if !self.progress.borrow().complete {
            router.parts.copies.opened(session, segments.clone());
        }
        // It may be so since, and over: then nobody has heard that.
        let Progress { taken, complete, .. } = *self.progress.borrow();
        if complete {
            router.parts.copies.seal(session, segments.sealed(taken));
        }
        earlier.sealing = !complete;
        earlier.own = self.own;
        earlier.gone |= self.gone;
    }

    /// Waits until the client may be told of the session, or for too long.
    pub(super) async fn until_known(&mut self) -> Progress {
        let is_over = |progress: &Progress| progress.known || progress.outclaimed;
        let _ = timeout_at(self.until, self.progress.wait_for(is_over)).await;
        *self.progress.borrow()
    }

    /// Waits until nothing is missing that was stored, and a while longer: an owner that lives has answered by then. Cancel-safe.
    pub(super) async fn until_sealed(taking: &mut Option<Self>) {
        match taking {
            Some(taking) if taking.alone => {
                if taking.progress.wait_for(|progress| progress.complete).await.is_err() {
                    return pending().await;
                }
                sleep(limits::OWNER_ANSWERS_WITHIN).await;
            }
            _ => pending().await,
        }
    }
}

impl Router {
    /// The session takes over what other nodes hold of it for its earlier owners, where copies are made.
    pub(super) fn take_over(
        &self,
        session: &Arc<Session>,
        named: &[Segment],
        displaced: &[(DeviceHash, Owned)],
        shown: Option<Stamp>,
        until: Instant,
    ) -> Option<TakingOver> {
        let copies = &self.parts.copies;
        if !copies.are_made() {
            return None;
        }
        let same_device = displaced.iter().filter(|(device, _)| *device == session.key().device);
        let shown_here = same_device.map(|(_, owned)| {
            let boot = Boot { name: owned.owner.clone(), incarnation: owned.incarnation };
            (boot, owned.segment())
        });
        let known = named.iter().filter_map(|segment| Some((copies.boot_of(*segment)?, *segment)));
        let former: Vec<_> = known.chain(shown_here).collect();
        let is_known = |segment: &Segment| former.iter().any(|(_, known)| known == segment);
        let gone = !named.iter().all(is_known);
        let owners: Vec<_> = former.iter().map(|(owner, _)| owner.clone()).collect();
        let own = owners.contains(copies.me());
        let progress = copies.take_over(session, Former { owners, shown });
        // Sessions of other devices that have to go are waited for.
        let alone = displaced.iter().all(|(device, _)| *device == session.key().device);
        Some(TakingOver { progress, former, gone, own, alone, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeName};

    fn boot(name: &str) -> Boot {
        Boot { name: NodeName::new(name).unwrap(), incarnation: Incarnation(1) }
    }

    #[test]
    fn an_owner_that_lets_go_before_there_is_a_session_has_not_said_what_it_owes() {
        let mut said = Said::new(&boot("me"), None);
        said.heard(Some(boot("a")), &Answer::Yes, false);
        said.heard(Some(boot("b")), &Answer::Silent, true);
        assert_eq!(said.by, BTreeSet::from([boot("me")]));
        said.heard(Some(boot("a")), &Answer::Yes, true);
        said.heard(Some(boot("c")), &Answer::No, false);
        assert_eq!(said.by, ["a", "c", "me"].map(boot).into());
    }

    #[test]
    fn a_session_is_over_by_the_word_of_its_last_owner_alone() {
        let owner = boot("a");
        let token = Segment::of(&owner.name, owner.incarnation, Stamp::from_raw(7));
        for (by, over) in [("a", true), ("b", false)] {
            let mut said = Said::new(&boot("me"), Some(token));
            said.heard(Some(boot(by)), &Answer::No, false);
            assert_eq!(said.over, over, "{by}");
        }
    }
}
