//! The owner's side: does errands at the sessions that live here, whoever asks.

use std::sync::Arc;

use crate::id::{NodeName, SessionKey};
use crate::mesh::Recipients;
use crate::push::Outcome;
use crate::receipt::{Answer, gather, gather_tally};
use crate::replica::Replica;
use crate::router::Errand;
use crate::session::{CloseReason, Registry, Session};

/// Does errands at this node's sessions.
pub(crate) struct Owner {
    me: NodeName,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
}

impl Owner {
    /// The owner's side of the node `me`.
    pub(crate) fn new(me: NodeName, registry: Arc<Registry>, replica: Arc<Replica>) -> Self {
        Self { me, registry, replica }
    }

    /// Does the errand at the recipients for the node `from`. `done` is called once, when the last
    /// session has answered, possibly before this returns.
    pub(crate) fn execute(
        &self,
        from: &NodeName,
        recipients: &Recipients,
        errand: &Errand,
        done: impl FnOnce(Answer) + Send + 'static,
    ) {
        match recipients {
            Recipients::All => {
                let sessions = self.registry.all();
                let replies = gather_tally(sessions.len(), done);
                for (session, reply) in sessions.iter().zip(replies) {
                    match errand {
                        Errand::Push(message) => session.offer(message, reply),
                        Errand::Disconnect | Errand::Yield(_) => {
                            reply.answer(self.end(from, session, errand))
                        }
                    }
                }
            }
            Recipients::Sessions { user, devices } => {
                let replies = gather(devices.len(), done);
                for (device, reply) in devices.iter().zip(replies) {
                    let key = SessionKey::new(user.clone(), device.clone());
                    match (self.registry.get(&key), errand) {
                        (None, _) => reply.answer(self.elsewhere(&key)),
                        (Some(session), Errand::Push(message)) => session.offer(message, reply),
                        (Some(session), _) => reply.answer(self.end(from, &session, errand)),
                    }
                }
            }
        }
    }

    fn end(&self, from: &NodeName, session: &Arc<Session>, errand: &Errand) -> Outcome {
        let ended = match errand {
            Errand::Yield(stamp) => {
                let yielded = self.registry.supersede(session.key(), from, *stamp);
                // It may have been superseded by a third node, which has to let go as well.
                match session.closing() {
                    Some(CloseReason::Superseded { owner, stamp }) if yielded && owner != *from => {
                        return Outcome::Moved { owner, stamp };
                    }
                    _ => yielded,
                }
            }
            Errand::Push(_) | Errand::Disconnect => session.close(CloseReason::Kicked),
        };
        if ended { Outcome::Delivered } else { Outcome::NoSession }
    }

    /// What to say of a session that is not here.
    fn elsewhere(&self, key: &SessionKey) -> Outcome {
        match self.replica.lookup(key) {
            Some(owned) if owned.owner != self.me => {
                Outcome::Moved { owner: owned.owner, stamp: owned.stamp }
            }
            _ => Outcome::NoSession,
        }
    }
}
