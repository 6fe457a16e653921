//! A session is claimed, and ends: carries out what [`Opening`] decides, over the links.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::directory::{ClaimState, Owned, Rival};
use crate::id::{LoginId, NodeName, SessionKey, Stamp};
use crate::key::{DeviceHash, Key};
use crate::limits;
use crate::membership::member::MemberState;
use crate::metrics::label::{Dropped, ResumedAs, Task};
use crate::ownership::{self, Answer, Ending, Opening, OpeningEffect as Effect, Timer};
use crate::position::{Segment, Writer};
use crate::push::Outcome;
use crate::quorum::Boot;
use crate::replica::{Claimed, HeldByAnother, Replica};
use crate::router::Router;
use crate::router::decisions::{self, Asker, Why};
use crate::router::owner::Succession as _;
use crate::router::taking_over::{Said, TakingOver};
use crate::session::{CloseReason, Earlier, Log, Permit, Registry, Returning, Session};
use crate::vital::{Vitals, finally};

/// The right of one connection to be its key's session. Dropping it ends the session and releases
/// the claim; a session that is kept for its client is parked instead.
pub(crate) struct Lease {
    session: Arc<Session>,
    end: Option<End>,
    vitals: Vitals,
    /// Held for as long as the connection.
    permit: Option<Permit>,
}

/// What is known of a client that wants to be the session of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claimant {
    /// The stamp that it brings from an earlier connection.
    pub(crate) resumed: Option<Stamp>,
    /// What it asks for to be kept.
    pub(crate) kept: Option<Keeping>,
    /// The login of its token.
    pub(crate) login: Option<LoginId>,
    /// It is not there: its session is to be parked.
    pub(crate) away: bool,
}

/// What a client asks for to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// How long it may be away, in seconds.
    pub(crate) seconds: u32,
    /// What it knows of its earlier sessions.
    pub(crate) returning: Returning,
}

impl Router {
    /// Claims the session `names` for this node, and takes it over. Earlier owners are waited for until then, which is said by the
    /// first try. `is_claimed`: whether it is by now. Returns also whether another claim stands above it that was not known; the session of a
    /// client that is away makes room for such a one as soon as it is shown.
    ///
    /// # Errors
    /// [`HeldByAnother`]: under [`RejectNewer`](crate::config::Takeover::RejectNewer), or the client is away, and a later claim is shown.
    pub(super) async fn open_once(
        self: &Arc<Self>,
        names: SessionKey,
        claimant: Claimant,
        permit: Option<Permit>,
        until: &mut Option<Instant>,
        is_claimed: &watch::Sender<bool>,
    ) -> Result<(Lease, bool), HeldByAnother> {
        let (parts, resumed) = (&self.parts, claimant.resumed);
        let token = claimant.kept.as_ref().and_then(|kept| kept.returning.token);
        let writer = token.map(|token| self.writer(token));
        let key = parts.replica.hasher().key(&names);
        let mut opening = Opening::new(parts.me.clone(), parts.replica.takeover(), key.device, resumed);
        let mut effects = opening.begin(parts.replica.lookup(key).as_ref());
        let named = claimant.kept.as_ref().map(|kept| kept.returning.segments());
        let (mut taking, mut lease) = (None::<TakingOver>, None::<Lease>);
        let mut claimed_by = Some((claimant, permit));
        let (mut sealed, mut asked, mut said) = (false, BTreeMap::new(), Said::new(parts.copies.me(), token));
        let (mut answers, mut deadline) = (FuturesUnordered::new(), Instant::now());
        let (gone, now_ms) = (writer == Some(None), parts.clock.now_ms());
        let mut earlier = Earlier { gone, now_ms, ..Earlier::default() };
        loop {
            let mut claimed = None;
            for effect in effects {
                match effect {
                    Effect::Start(timer) => deadline = self.ends(timer, until),
                    Effect::Ask(ask) => {
                        let stamp = lease.as_ref().map(|lease| lease.session.stamp());
                        let asker = Asker { names: names.clone(), stamp, resumed };
                        asked.insert(ask.number, ask.owner.clone());
                        answers.push(self.requester.ask(asker, ask, deadline));
                    }
                    Effect::Claim { below } => {
                        let (claimant, permit) = claimed_by.take().expect("a session is claimed once");
                        let yielded = self.yielded(key);
                        let (held, mut won, late) =
                            self.claim(&names, key, claimant, below, yielded.as_ref(), permit)?;
                        if let Some(Some(owned)) = &writer {
                            displace(&mut won.displaced, key.device, owned);
                        }
                        let same_device = won.displaced.iter().filter(|(device, _)| *device == key.device);
                        earlier.segments.extend(same_device.map(|(_, owned)| owned.segment()));
                        earlier.late |= late;
                        if let Some(named) = &named {
                            let until = *until.get_or_insert(Instant::now() + limits::TAKEOVER_TIMEOUT);
                            taking = self.take_over(held.session(), named, &won.displaced, resumed, until);
                        }
                        // From here on the lease cleans up, also when the caller gives up while this waits.
                        lease = Some(held);
                        is_claimed.send_replace(true);
                        parts.metrics.takeovers.increment(won.excluded as u64);
                        self.supersede(won.lost);
                        claimed = Some((won.stamp, won.displaced, yielded));
                    }
                    Effect::Refuse => return Err(HeldByAnother),
                    Effect::Open { late } => {
                        let late = late && !sealed;
                        if late {
                            parts.metrics.takeover_timeouts.increment(1);
                            debug!(key = %names, "a previous owner did not answer; the stamp decides");
                        }
                        let lease = lease.expect("it was claimed before");
                        if let Some(taking) = &mut taking {
                            if taking.until_known().await.outclaimed && !lease.session().is_away() {
                                return Ok((lease, true));
                            }
                            taking.open(self, lease.session(), &said, &mut earlier);
                        }
                        earlier.late |= late;
                        self.resume(lease.session(), &earlier);
                        return Ok((lease, false));
                    }
                }
            }
            effects = match claimed {
                Some((stamp, displaced, yielded)) => opening.claimed(stamp, displaced, yielded.as_ref()),
                None => {
                    let answered = tokio::select! {
                        biased;
                        answered = answers.next() => answered,
                        () = TakingOver::until_sealed(&mut taking) => None,
                    };
                    let Some((number, answer)) = answered else {
                        // Nothing that was stored is missing, whoever does not answer.
                        sealed = true;
                        effects = opening.elapsed();
                        continue;
                    };
                    // Each of them gives up at the deadline, in the same tick: which came first says nothing. An answer
                    // that came in time counts, however late this task is run.
                    // What goes after a session that has moved may be on its way, and one that stays may have got all of it.
                    earlier.late |= matches!(answer, Answer::Silent | Answer::Moved { .. });
                    let owner = asked.remove(&number).and_then(|owner| self.boot(owner));
                    said.heard(owner, &answer, lease.is_some());
                    let over = answer == Answer::Silent && Instant::now() >= deadline;
                    if over { opening.elapsed() } else { opening.answered(number, &answer) }
                }
            };
        }
    }

    /// When that time is over. `until`: when earlier owners are not waited for any more, once that is said.
    fn ends(&self, timer: Timer, until: &mut Option<Instant>) -> Instant {
        let ends = Instant::now() + timer.after(self.parts.push_timeout);
        if timer == Timer::Takeover { *until.get_or_insert(ends) } else { ends }
    }

    /// The boot of a node that is listed.
    fn boot(&self, name: NodeName) -> Option<Boot> {
        let incarnation = self.parts.roster.members().get(&name)?.incarnation;
        Some(Boot { name, incarnation })
    }

    /// To whom the last session of a key at this node had to yield, perhaps before the directory shows it.
    pub(super) fn yielded(&self, key: Key) -> Option<(NodeName, Stamp)> {
        let reason = self.parts.registry.get(key)?.closing()?;
        Ending::closing(reason)?.successor()
    }

    /// Claims a key and registers its session, which replaces the one before. Returns also whether that one, or an earlier one, will hand over what
    /// it owes later.
    fn claim(
        self: &Arc<Self>,
        names: &SessionKey,
        key: Key,
        claimant: Claimant,
        below: Option<Stamp>,
        yielded: Option<&(NodeName, Stamp)>,
        permit: Option<Permit>,
    ) -> Result<(Lease, Claimed, bool), HeldByAnother> {
        let parts = &self.parts;
        let Claimant { resumed, kept, login, away } = claimant;
        let (mut session, mut replaced) = (None, None);
        let register = |stamp| {
            let log = kept.map(|Keeping { seconds, returning }| {
                Log::new((stamp, parts.writer), seconds, returning, Arc::clone(&parts.store))
            });
            let opened = Session::new(names.clone(), key, stamp, resumed, parts.outbox, log);
            let opened = Arc::new(opened.of_login(login));
            if away {
                opened.close(CloseReason::ClientGone);
            }
            replaced = parts.registry.insert(&opened);
            session = Some(opened);
        };
        let claimed = if away {
            parts.replica.claim_parked(key, resumed.unwrap_or(Stamp::ZERO), below, register)?
        } else {
            let seen = yielded.map(|(_, stamp)| *stamp).max(parts.copies.outclaimed(key));
            parts.replica.claim(key, parts.clock.now_ms(), seen, resumed, below, register)?
        };
        let session = session.expect("a claim registers its session");
        decisions::claimed(&parts.me, &session);
        let mut late = false;
        if let Some(replaced) = replaced {
            let (before, first) = replaced.close();
            if first {
                let winner = (&parts.me, session.stamp());
                decisions::ended(&parts.me, &before, Why::Replaced, Rival::SameDevice, winner);
            }
            late = before.successor().is_some() && !succeed(&session, &before);
            self.hand_over(&before);
        }
        // What an earlier session of this node owes, whose next owner has not taken it, comes to this one.
        late |= self.under_way.offer_here(key, &parts.me);
        let end = End {
            session: Arc::clone(&session),
            registry: Arc::clone(&parts.registry),
            replica: Arc::clone(&parts.replica),
            router: Arc::downgrade(self),
        };
        let lease = Lease { session, end: Some(end), vitals: parts.vitals.clone(), permit };
        Ok((lease, claimed, late))
    }

    /// The owner that a resume token names; `None`: it is no member.
    fn writer(&self, token: Segment) -> Option<Owned> {
        let owned = |owner: &NodeName, incarnation| {
            (Writer::of(owner, incarnation) == token.writer).then(|| Owned {
                owner: owner.clone(),
                incarnation,
                stamp: token.stamp,
                state: ClaimState::Connected,
            })
        };
        let members = self.parts.roster.members();
        let listed = members.iter().filter(|(_, entry)| entry.state != MemberState::Dead);
        let mut others = listed.filter_map(|(name, entry)| owned(name, entry.incarnation));
        owned(&self.parts.me, self.parts.incarnation).or_else(|| others.next())
    }

    /// Decides what a client is told about what it missed, and looks again when it has waited for that long enough.
    fn resume(&self, session: &Arc<Session>, earlier: &Earlier) {
        let Some(state) = session.open(earlier) else { return };
        if session.is_away() {
            return; // Nobody is told.
        }
        self.parts.metrics.resumptions.with(state).increment(1);
        if state == ResumedAs::Pending {
            let (session, patience) = (Arc::downgrade(session), self.parts.resume_timeout);
            tokio::spawn(self.parts.vitals.contained(Task::HandOver, async move {
                sleep(patience).await;
                if let Some(session) = session.upgrade() {
                    session.give_up_resuming();
                }
            }));
        }
    }
}

/// The directory may not show yet what the client's own token says.
fn displace(displaced: &mut Vec<(DeviceHash, Owned)>, device: DeviceHash, owned: &Owned) {
    if displaced.iter().all(|(of, held)| *of != device || held.stamp < owned.stamp) {
        displaced.retain(|(of, _)| *of != device);
        displaced.push((device, owned.clone()));
    }
}

/// The next session of a client at the same node gets what the one before owes, also while that is on its way to another node,
/// which has let go since. Returns whether it has all of it.
fn succeed(next: &Session, before: &Session) -> bool {
    let Some(tail) = before.tail() else { return true };
    let parts = tail.parts(usize::MAX, usize::MAX);
    let mut is_kept = true;
    let all = parts.iter().all(|part| {
        let outcome = next.adopt(part);
        is_kept &= outcome != Outcome::Buffered;
        outcome.is_handed_over()
    });
    if all && before.begin_hand_over() {
        // It is not kept, and so nobody takes over what others hold of it.
        if !is_kept {
            before.drop_copies();
        }
        before.handed_over();
    }
    all
}

impl Lease {
    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The place of its connection, for the one that is opened instead.
    pub(super) fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Whoever pushes from now on learns that the session is over, unless it is kept.
        self.session.close(CloseReason::ClientGone);
        let Some(end) = self.end.take() else { return };
        match (self.session.is_away(), Handle::try_current()) {
            (true, Ok(runtime)) => {
                runtime.spawn(self.vitals.contained(Task::Parked, end.park(self.vitals.clone())));
            }
            (_, runtime) => end.follow(&self.vitals, runtime.ok()),
        }
    }
}

struct End {
    session: Arc<Session>,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
    /// Weak: a session that is kept keeps no node alive.
    router: Weak<Router>,
}

impl End {
    /// Keeps the session for its client until it is over.
    async fn park(self, vitals: Vitals) {
        let session = &self.session;
        session.abandon();
        session.begin_parking();
        match (self.registry.park(), session.keep()) {
            (Some(_place), Some(kept)) => {
                self.replica.parked(session.key(), session.stamp());
                session.copy_absence();
                session.parked(Duration::from_secs(kept.seconds.into())).await;
            }
            _ => {
                session.close(CloseReason::Expired);
                session.forget(Dropped::Overflow);
            }
        }
        let runtime = Handle::current();
        self.follow(&vitals, Some(runtime));
    }

    /// What follows on the end of the session. Its claim stays for a while where the session goes on elsewhere, and what it owes
    /// goes there.
    fn follow(self, vitals: &Vitals, runtime: Option<Handle>) {
        let reason = self.session.over();
        let ending = reason.clone().and_then(Ending::closing);
        match &reason {
            Some(CloseReason::Superseded { .. }) => {
                self.session.trim_absence();
                if let Some(router) = self.router.upgrade() {
                    router.hand_over(&self.session);
                }
            }
            Some(CloseReason::Expired) => self.session.forget(Dropped::Expired),
            _ => self.session.forget(Dropped::Ended),
        }
        match (ownership::released_after(ending.as_ref()), runtime) {
            (Some(lingers), Some(runtime)) => {
                let released = async move {
                    sleep(lingers).await;
                    drop(self);
                };
                runtime.spawn(vitals.contained(Task::Linger, released));
            }
            _ => drop(self),
        }
    }
}

/// However it ends, its key is free.
impl Drop for End {
    fn drop(&mut self) {
        finally(|| {
            self.replica.release(self.session.key(), self.session.stamp());
            self.registry.remove(&self.session);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Takeover, Tuning};
    use crate::id::{DeviceId, Incarnation, UserId};
    use crate::key::KeyHasher;
    use crate::session::OutboxLimits;

    #[test]
    fn the_end_of_a_session_that_lingers_leaves_the_claim_of_the_one_after_the_next() {
        let name = NodeName::new("n1").unwrap();
        let hasher = KeyHasher::new(&[0; 32]);
        let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
        let key = hasher.key(&names);
        let registry = Arc::new(Registry::new(name.clone(), 9));
        let (takeover, tuning) = (Takeover::default(), Tuning::default());
        let replica = Arc::new(Replica::new(name, Incarnation(1), hasher, takeover, tuning));
        let faster = Some(Stamp::from_raw(10 << 16));
        let open = || {
            let mut opened = None;
            let claimed = replica.claim(key, 5, faster, None, None, |stamp| {
                let limits = OutboxLimits { messages_max: 1, bytes_max: 1 };
                let session = Arc::new(Session::new(names.clone(), key, stamp, None, limits, None));
                registry.insert(&session);
                opened = Some(session);
            });
            claimed.unwrap();
            opened.unwrap()
        };
        let end = |session: &Arc<Session>| {
            let session = Arc::clone(session);
            let (registry, replica) = (Arc::clone(&registry), Arc::clone(&replica));
            drop(End { session, registry, replica, router: Weak::new() });
        };
        let first = open();
        let second = open();
        end(&second);
        let third = open();
        assert_ne!(first.stamp(), third.stamp(), "its end would take the claim of the other one");
        end(&first);
        assert_eq!(replica.lookup(key).map(|owned| owned.stamp), Some(third.stamp()));
        end(&third);
        assert_eq!(replica.lookup(key), None);
    }
}
