//! What a session does for a client that it is kept for: acknowledgements, the client's return, and the hand-over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::attributes::Attributes;
use crate::id::{NodeName, Stamp};
use crate::limits;
use crate::metrics::label::{Dropped, ResumedAs};
use crate::position::{Position, Segment};
use crate::push::Outcome;
use crate::session::{
    Absence, AckAhead, CloseReason, Copied, Earlier, HandedAttributes, Resumed, Session, Tail, TailPart,
    answer_all,
};

/// What the first frame of a session says that is kept for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// How long the client may be away, in seconds.
    pub(crate) keep: u32,
    /// The segment that the session numbers, from 1 on.
    pub(crate) segment: Segment,
    /// What became of what the client missed.
    pub(crate) resumed: Resumed,
}

/// For whom a session is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// For how long, in seconds.
    pub(crate) seconds: u32,
}

impl Session {
    /// How long the session is kept for its client, if it is.
    pub(crate) fn keep(&self) -> Option<Kept> {
        self.lock().kept().map(|log| Kept { seconds: log.keep() })
    }

    /// Whether its client is away, or about to be, and it is kept.
    pub(crate) fn is_away(&self) -> bool {
        self.lock().is_away()
    }

    /// What the client is told first, if the session is kept for it. Of one that goes on elsewhere already nothing is known here:
    /// its next owner decides.
    pub(crate) fn welcome(&self) -> Option<Welcome> {
        let mut state = self.lock();
        let moves = state.closing().is_some_and(CloseReason::moves);
        let log = state.kept()?;
        let pending = Resumed { state: ResumedAs::Pending, missing: Vec::new() };
        let resumed = if moves { pending } else { log.welcome() };
        Some(Welcome { keep: log.keep(), segment: log.segment(), resumed })
    }

    /// The client has everything up to that number of a segment; `None`: of the current one. Without effect where the session
    /// is not kept, or goes on elsewhere.
    ///
    /// # Errors
    /// [`AckAhead`]: it was not sent that much.
    pub(crate) fn acknowledge(&self, segment: Option<Segment>, number: u64) -> Result<(), AckAhead> {
        let (settled, goes_on, copying) = {
            let mut state = self.lock();
            if state.closing().is_some_and(|reason| !reason.flushes()) {
                return Ok(()); // It is held, or somebody else's by now, as it is.
            }
            let Some(log) = state.kept() else { return Ok(()) };
            let settled = log.acknowledge(segment, number)?;
            let goes_on = !log.is_clear();
            let copying = settled.copied.and_then(|_| log.store().copying());
            for known in &settled.known {
                state.outbox().know(known.clone());
            }
            (settled, goes_on, copying)
        };
        if let (Some(copying), Some(upto)) = (copying, settled.copied) {
            copying.trim(self.key, upto);
        }
        settled.replies.into_iter().for_each(|reply| reply.answer(Outcome::Acked));
        if goes_on {
            self.wake.notify_one(); // The window may be open again.
        }
        Ok(())
    }

    /// Tells those who wait for the client's word, or for the window, how far their messages have come when that takes too
    /// long. To be run beside the session after a message was [offered](Session::offer) for which somebody waits; it ends when
    /// nobody does.
    pub(crate) fn time_acks(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let begins = self.lock().kept().is_some_and(super::log::Log::begin_timing);
        let session = Arc::clone(self);
        begins.then_some(async move {
            let mut due = Instant::now() + limits::BUFFERED_AFTER;
            loop {
                sleep_until(due).await;
                let (answers, next) = {
                    let mut state = session.lock();
                    let is_away = state.is_away();
                    let Some(log) = state.kept() else { return };
                    log.overdue(Instant::now(), log.standing(session.key, is_away))
                };
                answer_all(answers);
                match next {
                    Some(next) => due = next,
                    None => return,
                }
            }
        })
    }

    /// What is due is copied. Returns whether to look again in a while.
    pub(crate) fn copy_due(&self) -> bool {
        self.lock().kept().is_some_and(|log| log.copy_due(self.key))
    }

    /// Takes what others have held for earlier owners of the session. Returns that for which there is no room.
    pub(crate) fn adopt_copied(&self, held: Vec<(Position, Copied)>) -> Vec<(Position, Copied)> {
        let full = {
            let mut state = self.lock();
            let (messages, beside): (Vec<_>, Vec<_>) = held.into_iter().partition(|(at, _)| at.is_message());
            let attributes: Vec<_> = beside.iter().filter_map(attributes_of).collect();
            attributes.iter().for_each(|handed| state.adopt_attributes(handed));
            let full = state.adopt_copied(self.key, messages);
            if !attributes.is_empty() {
                state.copy_attributes(self.key);
            }
            full
        };
        self.wake.notify_one();
        full
    }

    /// Nothing more is taken over from other nodes.
    pub(crate) fn taken_over(&self) {
        if let Some(log) = self.lock().kept() {
            log.taken_over();
        }
    }

    /// Whether the client is owed a message, or the session has attributes in that version.
    pub(crate) fn holds(&self, at: Position) -> bool {
        let mut state = self.lock();
        match at.attributes_version() {
            Some(version) => state.attached().and_then(|attached| attached.version()) == Some(version),
            None => state.kept().is_some_and(|log| log.holds(at)),
        }
    }

    /// Whether the client is owed a message, or is to be told that its time is over; of what is no message, whether it is here.
    pub(crate) fn owes(&self, at: Position) -> bool {
        if at.is_message() { self.lock().kept().is_some_and(|log| log.owes(at)) } else { self.holds(at) }
    }

    /// Nothing is missing of these segments that others were to hold.
    pub(crate) fn sealed(&self, segments: &[Segment]) {
        if self.lock().kept().is_some_and(|log| log.sealed(segments)) {
            self.wake.notify_one();
        }
    }

    /// Others hold a message.
    pub(crate) fn stored(&self, at: Position) {
        let answers = {
            let mut state = self.lock();
            let is_away = state.is_away();
            state.kept().map(|log| log.stored(at, is_away))
        };
        answer_all(answers.unwrap_or_default());
    }

    /// The client is about to be the session, whether it is kept or not. Returns what it is going to be told of what it missed.
    pub(crate) fn open(&self, earlier: &Earlier) -> Option<ResumedAs> {
        let told = self.lock().kept().map(|log| log.open(earlier));
        self.opened();
        told
    }

    /// The client has waited long enough for what it missed.
    pub(crate) fn give_up_resuming(&self) {
        let news = self.lock().kept().is_some_and(super::log::Log::give_up_resuming);
        if news {
            self.wake.notify_one();
        }
    }

    /// Takes a part of what an earlier owner hands over. [`Outcome::Delivered`]: it is kept here; [`Outcome::Buffered`]: it waits to be
    /// written, and no more.
    pub(crate) fn adopt(&self, part: &TailPart) -> Outcome {
        let mut settled = Vec::new();
        let (outcome, copies, copying) = {
            let mut state = self.lock();
            if let Some(reason) = state.closing().filter(|_| !state.is_away()) {
                return reason.outcome();
            }
            let outcome = state.adopt(part, Instant::now(), &mut settled);
            for known in &part.recent {
                state.outbox().know(known.clone());
            }
            if let Some(handed) = part.attributes.as_ref().filter(|_| outcome.is_handed_over()) {
                state.adopt_attributes(handed);
                state.copy_attributes(self.key);
            }
            let copies = state.begin_copying(self.key, false);
            (outcome, copies, state.kept().and_then(|log| log.store().copying()))
        };
        if let Some(copying) = copying {
            settled.into_iter().for_each(|upto| copying.trim(self.key, upto));
        }
        if copies {
            self.copy_later();
        }
        self.wake.notify_one();
        outcome
    }

    /// All that the client has not acknowledged, for the next owner. `None`: nothing is kept, or it has it.
    pub(crate) fn tail(&self) -> Option<Tail> {
        let mut state = self.lock();
        if self.handing.load(Ordering::SeqCst) == HANDED_OVER {
            return None;
        }
        let recent = state.outbox().recent().cloned().collect();
        let attributes = state.attached().and_then(|attached| attached.handed());
        let tail = state.kept()?.tail(Instant::now());
        Some(Tail { recent, attributes, ..tail })
    }

    /// Nothing of what is kept is delivered any more, for that reason.
    pub(crate) fn forget(&self, why: Dropped) {
        let copying = {
            let mut state = self.lock();
            let has_attributes = state.attached().is_some_and(|attached| attached.version().is_some());
            let was_away = self.handing.load(Ordering::SeqCst) != CONNECTED;
            state.kept().and_then(|log| log.drop_all(why, has_attributes || was_away))
        };
        if let Some(copying) = copying {
            copying.end(self.key, self.stamp);
        }
    }

    /// The next owner has it, and does not keep it: nobody else is to hold it any more.
    pub(crate) fn drop_copies(&self) {
        if let Some(copying) = self.copying() {
            copying.end(self.key, self.stamp);
        }
    }

    /// Whether this call is the first to hand over what is owed.
    pub(crate) fn begin_hand_over(&self) -> bool {
        let begins = |handing: u8| (handing < UNDER_WAY).then_some(UNDER_WAY);
        self.handing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, begins).is_ok()
    }

    /// Nothing of it is owed any more: the next owner has it.
    pub(crate) fn handed_over(&self) {
        {
            let mut state = self.lock();
            self.handing.store(HANDED_OVER, Ordering::SeqCst); // Under the lock: nobody is handed an empty tail.
            if let Some(log) = state.kept() {
                log.release();
            }
        }
        self.ending.notify_waiters();
    }

    /// Waits until the next owner has what is owed. Cancel-safe.
    pub(crate) async fn until_handed_over(&self) {
        self.until(|| self.handing.load(Ordering::SeqCst) == HANDED_OVER).await;
    }

    /// Messages that the client has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.lock().kept().map_or(0, |log| log.len())
    }

    /// The connection of a session that is kept is gone.
    pub(crate) fn begin_parking(&self) {
        self.handing.compare_exchange(CONNECTED, AT_HOME, Ordering::SeqCst, Ordering::SeqCst).ok();
        self.opened(); // Also where the client left before.
    }

    /// Other nodes are to hold that the client is away, if it is.
    pub(crate) fn copy_absence(&self) {
        let mut state = self.lock();
        let login = state.attached().and_then(|attached| attached.login().cloned());
        let is_away = state.is_away();
        if let Some(log) = state.kept().filter(|_| is_away) {
            log.copy_absence(self.key, &Absence { names: self.names.clone(), login });
        }
    }

    /// Other nodes need not hold that any more: the session goes on elsewhere.
    pub(crate) fn trim_absence(&self) {
        let was_away = self.handing.load(Ordering::SeqCst) != CONNECTED;
        let copying = self.lock().kept().filter(|_| was_away).and_then(|log| log.store().copying());
        if let Some(copying) = copying.filter(|copying| copying.is_made()) {
            copying.trim(self.key, Position::of_absence(self.stamp));
        }
    }

    /// Waits until the connection of the session is gone and it is kept, or it is over. Cancel-safe.
    pub(crate) async fn until_parked(&self) {
        self.until(|| self.handing.load(Ordering::SeqCst) != CONNECTED || self.over().is_some()).await;
    }

    /// Waits until the session is over, or its client was away for too long: then it is over for that reason.
    pub(crate) async fn parked(&self, keep: Duration) {
        if timeout(keep, self.until(|| self.over().is_some())).await.is_err() {
            self.close(CloseReason::Expired);
        }
    }

    /// The claim of its successor, if the session goes on elsewhere.
    pub(crate) fn successor(&self) -> Option<(NodeName, Stamp)> {
        match self.over()? {
            CloseReason::Superseded { owner, stamp } => Some((owner, stamp)),
            _ => None,
        }
    }
}

/// The attributes that others have held for an earlier owner.
fn attributes_of((at, copied): &(Position, Copied)) -> Option<HandedAttributes> {
    let text = std::str::from_utf8(copied.message.payload.bytes()).ok()?;
    let attributes = Attributes::parse(text).ok()?;
    Some(HandedAttributes { changed: at.attributes_version()?, attributes })
}

/// Where what a session owes is: with it and its connection, with it alone, on its way to the next owner, there.
const CONNECTED: u8 = 0;
const AT_HOME: u8 = 1;
const UNDER_WAY: u8 = 2;
const HANDED_OVER: u8 = 3;
