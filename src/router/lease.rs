//! Opening a session, and its end: carries out what [`Opening`] decides, over the links.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::directory::Rival;
use crate::id::{NodeName, SessionKey, Stamp};
use crate::key::Key;
use crate::metrics::label::Task;
use crate::ownership::{self, Answer, Ending, Opening, OpeningEffect as Effect};
use crate::replica::{Claimed, HeldByAnother, Replica};
use crate::router::Router;
use crate::router::decisions::{self, Asker, Why};
use crate::session::{CloseReason, Permit, Registry, Replaced, Session};
use crate::vital::{Vitals, finally};

/// The right of one connection to be its key's session. Dropping it ends the session and releases
/// the claim.
pub(crate) struct Lease {
    session: Arc<Session>,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
    vitals: Vitals,
    _permit: Permit,
}

impl Router {
    /// Makes this node the owner of the session `names`. `resumed` is the stamp that the client
    /// brings from an earlier connection.
    ///
    /// # Errors
    /// [`HeldByAnother`], only under [`RejectNewer`](crate::config::Takeover::RejectNewer).
    pub(crate) async fn open(
        self: &Arc<Self>,
        names: SessionKey,
        resumed: Option<Stamp>,
        permit: Permit,
    ) -> Result<Lease, HeldByAnother> {
        let parts = &self.parts;
        let key = parts.replica.hasher().key(&names);
        let mut opening = Opening::new(parts.me.clone(), parts.replica.takeover(), key.device, resumed);
        let mut effects = opening.begin(parts.replica.lookup(key).as_ref());
        let (mut permit, mut lease) = (Some(permit), None::<Lease>);
        let (mut answers, mut deadline) = (FuturesUnordered::new(), Instant::now());
        loop {
            let mut claimed = None;
            for effect in effects {
                match effect {
                    Effect::Start(timer) => deadline = Instant::now() + timer.after(parts.push_timeout),
                    Effect::Ask(ask) => {
                        let stamp = lease.as_ref().map(|lease| lease.session.stamp());
                        let asker = Asker { names: names.clone(), stamp, resumed };
                        answers.push(self.requester.ask(asker, ask, deadline));
                    }
                    Effect::Claim { below } => {
                        let permit = permit.take().expect("a session is claimed once");
                        let yielded = self.yielded(key);
                        let (held, won) =
                            self.claim(&names, key, (resumed, below), yielded.as_ref(), permit)?;
                        // From here on the lease cleans up, also when the caller gives up while this waits.
                        lease = Some(held);
                        parts.metrics.takeovers.increment(won.excluded as u64);
                        self.supersede(won.lost);
                        claimed = Some((won.stamp, won.displaced, yielded));
                    }
                    Effect::Refuse => return Err(HeldByAnother),
                    Effect::Open { late } => {
                        if late {
                            parts.metrics.takeover_timeouts.increment(1);
                            debug!(key = %names, "a previous owner did not answer; the stamp decides");
                        }
                        return Ok(lease.expect("it was claimed before"));
                    }
                }
            }
            effects = match claimed {
                Some((stamp, displaced, yielded)) => opening.claimed(stamp, displaced, yielded.as_ref()),
                None => {
                    let (number, answer) = answers.next().await.expect("an opening waits for answers only");
                    // Each of them gives up at the deadline, in the same tick: which came first says nothing. An answer
                    // that came in time counts, however late this task is run.
                    let over = answer == Answer::Silent && Instant::now() >= deadline;
                    if over { opening.elapsed() } else { opening.answered(number, &answer) }
                }
            };
        }
    }

    /// To whom the last session of a key at this node had to yield, perhaps before the directory shows it.
    fn yielded(&self, key: Key) -> Option<(NodeName, Stamp)> {
        let reason = self.parts.registry.get(key)?.closing()?;
        Ending::closing(reason)?.successor()
    }

    /// Claims a key and registers its session, which replaces the one before.
    fn claim(
        &self,
        names: &SessionKey,
        key: Key,
        (resumed, below): (Option<Stamp>, Option<Stamp>),
        yielded: Option<&(NodeName, Stamp)>,
        permit: Permit,
    ) -> Result<(Lease, Claimed), HeldByAnother> {
        let parts = &self.parts;
        let seen = yielded.map(|(_, stamp)| *stamp);
        let (mut session, mut replaced) = (None, None);
        let claimed = parts.replica.claim(key, parts.clock.now_ms(), seen, resumed, below, |stamp| {
            let opened = Arc::new(Session::new(names.clone(), key, stamp, resumed, parts.outbox));
            replaced = parts.registry.insert(&opened);
            session = Some(opened);
        })?;
        let session = session.expect("a claim registers its session");
        decisions::claimed(&parts.me, &session);
        if let Some(replaced) = replaced.and_then(Replaced::close) {
            let winner = (&parts.me, session.stamp());
            decisions::ended(&parts.me, &replaced, Why::Replaced, Rival::SameDevice, winner);
        }
        let lease = Lease {
            session,
            registry: Arc::clone(&parts.registry),
            replica: Arc::clone(&parts.replica),
            vitals: parts.vitals.clone(),
            _permit: permit,
        };
        Ok((lease, claimed))
    }
}

impl Lease {
    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Whoever pushes from now on learns that the session is over.
        self.session.close(CloseReason::ClientGone);
        let end = End {
            session: Arc::clone(&self.session),
            registry: Arc::clone(&self.registry),
            replica: Arc::clone(&self.replica),
        };
        let ending = self.session.closing().and_then(Ending::closing);
        match (ownership::released_after(ending.as_ref()), Handle::try_current()) {
            (Some(lingers), Ok(runtime)) => {
                let released = async move {
                    sleep(lingers).await;
                    end.release();
                };
                runtime.spawn(self.vitals.contained(Task::Linger, released));
            }
            _ => finally(|| end.release()),
        }
    }
}

struct End {
    session: Arc<Session>,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
}

impl End {
    fn release(self) {
        self.replica.release(self.session.key(), self.session.stamp());
        self.registry.remove(&self.session);
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
                let session = Arc::new(Session::new(names.clone(), key, stamp, None, limits));
                registry.insert(&session);
                opened = Some(session);
            });
            claimed.unwrap();
            opened.unwrap()
        };
        let end = |session: &Arc<Session>| {
            let session = Arc::clone(session);
            End { session, registry: Arc::clone(&registry), replica: Arc::clone(&replica) }.release();
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
