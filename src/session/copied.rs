//! What other nodes hold of the messages of a session, so that they are not lost with its own one.

use std::sync::Arc;

use tokio::time::Instant;

use crate::id::Stamp;
use crate::key::Key;
use crate::position::Position;
use crate::push::Message;
use crate::session::room::Room;

/// A message that other nodes hold for the owner of its session.
#[derive(Debug, Clone)]
pub(crate) struct Copied {
    /// The message.
    pub(crate) message: Arc<Message>,
    /// When its time is over.
    pub(crate) expires: Option<Instant>,
    /// For how long its session is kept, in seconds.
    pub(crate) keep: u32,
    /// What it takes up at a node that holds it for another one.
    pub(crate) room: Option<Arc<Room>>,
}

impl Copied {
    /// Whether there is room for it at this node, which holds it for another one.
    pub(crate) fn has_room(&self) -> bool {
        self.room.is_some()
    }
}

/// Copies messages of sessions to other nodes. All of it returns at once; what comes of it the sessions are told.
pub(crate) trait Copying: Send + Sync + 'static {
    /// Whether copies are made at all.
    fn is_made(&self) -> bool;

    /// Whether there are nodes that hold what is copied of that session.
    fn is_possible(&self, key: Key) -> bool;

    /// Others are to hold a message of the session that was claimed with that stamp, in place of what it [replaces](Position::replaces).
    fn append(&self, key: Key, claim: Stamp, at: Position, message: Copied);

    /// The client has everything of that segment up to there.
    fn trim(&self, key: Key, upto: Position);

    /// The session is over: nothing of it is needed any more.
    fn end(&self, key: Key, claim: Stamp);

    /// Has the session that was claimed with that stamp look in a while at what its client has not acknowledged: that is copied then.
    fn look_later(&self, key: Key, claim: Stamp);
}
