//! What waits to be sent to other boots, in the order in which it is to arrive.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::copies::frame::LogFrame;
use crate::limits;
use crate::quorum::Boot;
use crate::session::Copied;

/// The streams to other boots that are open, each with what waits for it.
#[derive(Default)]
pub(super) struct Peers {
    open: RwLock<BTreeMap<Boot, Arc<Outbox>>>,
    /// Those that had no room, each with until when it is not asked again.
    full: Mutex<BTreeMap<Boot, Instant>>,
}

/// What waits for one stream.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<LogFrame<Copied>>,
    /// When they are to be sent at the latest.
    due: Option<Instant>,
    /// Nothing more is sent on the stream.
    over: bool,
    /// When the first frame was sent that the peer has not answered.
    unanswered: Option<Instant>,
}

impl Peers {
    /// A stream to that boot is open. The one before is over.
    pub(super) fn open(&self, boot: &Boot) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::default());
        let before = self.open.write().expect(NOT_POISONED).insert(boot.clone(), Arc::clone(&outbox));
        if let Some(before) = before {
            before.close();
        }
        outbox
    }

    /// A stream is over. Returns whether it was the one in use.
    pub(super) fn close(&self, boot: &Boot, outbox: &Arc<Outbox>) -> bool {
        outbox.close();
        let mut peers = self.open.write().expect(NOT_POISONED);
        let in_use = peers.get(boot).is_some_and(|in_use| Arc::ptr_eq(in_use, outbox));
        if in_use {
            peers.remove(boot);
        }
        in_use
    }

    /// Sends a frame to a boot, if there is a stream to it.
    pub(super) fn send(&self, to: &Boot, frame: LogFrame<Copied>) {
        if let Some(outbox) = self.open.read().expect(NOT_POISONED).get(to) {
            outbox.push(frame);
        }
    }

    /// Sends a frame to all.
    pub(super) fn send_all(&self, frame: &LogFrame<Copied>) {
        self.open.read().expect(NOT_POISONED).values().for_each(|outbox| outbox.push(frame.clone()));
    }

    /// Those that are there, and answer.
    pub(super) fn well(&self, now: Instant) -> Vec<Boot> {
        let mut full = self.full.lock().expect(NOT_POISONED);
        full.retain(|_, until| now < *until);
        let open = self.open.read().expect(NOT_POISONED);
        let well = open.iter().filter(|(boot, outbox)| !outbox.hangs(now) && !full.contains_key(boot));
        well.map(|(boot, _)| boot.clone()).collect()
    }

    /// A boot has no room.
    pub(super) fn full(&self, boot: &Boot, now: Instant) {
        self.full.lock().expect(NOT_POISONED).insert(boot.clone(), now + limits::MEMBER_FULL_FOR);
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.open.is_poisoned() || self.full.is_poisoned()
    }
}

impl Outbox {
    fn push(&self, frame: LogFrame<Copied>) {
        let wakes = {
            let mut waiting = self.lock();
            if waiting.over {
                return;
            }
            // A peer that takes so little is replaced, and given all again when it is back.
            if waiting.frames.len() >= limits::LOG_FRAMES_MAX {
                waiting.over = true;
                waiting.frames.clear();
                true
            } else {
                let now = Instant::now();
                let due = if frame.may_wait() { now + limits::TRIMMED_WITHIN } else { now };
                let is_sooner = waiting.due.is_none_or(|before| due < before);
                if is_sooner {
                    waiting.due = Some(due);
                }
                waiting.frames.push_back(frame);
                is_sooner
            }
        };
        if wakes {
            self.wake.notify_one();
        }
    }

    /// All that waits, once something does; `None`: the stream is over. Cancel-safe.
    pub(super) async fn take(&self) -> Option<VecDeque<LogFrame<Copied>>> {
        loop {
            let due = {
                let mut waiting = self.lock();
                if waiting.over {
                    return None;
                }
                let now = Instant::now();
                if waiting.due.is_some_and(|due| due <= now) {
                    waiting.due = None;
                    waiting.unanswered.get_or_insert(now);
                    return Some(std::mem::take(&mut waiting.frames));
                }
                waiting.due
            };
            match due {
                None => self.wake.notified().await,
                Some(due) => drop(timeout_at(due, self.wake.notified()).await),
            }
        }
    }

    /// The peer has read something.
    pub(super) fn answered(&self) {
        self.lock().unanswered = None;
    }

    fn hangs(&self, now: Instant) -> bool {
        let since = self.lock().unanswered;
        since.is_some_and(|since| now.saturating_duration_since(since) > limits::MEMBER_SILENCE_MAX)
    }

    fn close(&self) {
        {
            let mut waiting = self.lock();
            waiting.over = true;
            waiting.frames.clear();
        }
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::id::{Incarnation, NodeName, Stamp};
    use crate::key::{DeviceHash, Key, UserHash};
    use crate::position::{Position, Segment, Writer};
    use crate::quorum::{Config, Op, ToMember};

    fn boot() -> Boot {
        Boot { name: NodeName::new("b").unwrap(), incarnation: Incarnation(1) }
    }

    fn frame(group: u8) -> LogFrame<Copied> {
        LogFrame::Announced { group, config: Config { epoch: 1, members: Vec::new() } }
    }

    fn groups(frames: &VecDeque<LogFrame<Copied>>) -> Vec<u8> {
        let group = |frame: &LogFrame<Copied>| match frame {
            LogFrame::Announced { group, .. } => *group,
            _ => unreachable!("only such are sent here"),
        };
        frames.iter().map(group).collect()
    }

    #[tokio::test]
    async fn what_waits_is_taken_together_and_a_later_stream_takes_the_place_of_one_before() {
        let peers = Peers::default();
        peers.send(&boot(), frame(0));
        let first = peers.open(&boot());
        peers.send(&boot(), frame(1));
        peers.send_all(&frame(2));
        assert_eq!(first.take().await.map(|frames| groups(&frames)), Some(vec![1, 2]));
        assert!(first.take().now_or_never().is_none(), "it waits");
        let second = peers.open(&boot());
        assert!(first.take().await.is_none());
        assert!(!peers.close(&boot(), &first), "another one is in use");
        assert!(peers.close(&boot(), &second));
        assert_eq!(peers.well(Instant::now()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_for_long_is_not_well_until_it_does() {
        let peers = Peers::default();
        let outbox = peers.open(&boot());
        let later = Instant::now() + limits::MEMBER_SILENCE_MAX + std::time::Duration::from_millis(1);
        peers.send(&boot(), frame(1));
        assert_eq!(peers.well(later), [boot()], "nothing was sent yet");
        outbox.take().await;
        assert_eq!((peers.well(Instant::now()), peers.well(later)), (vec![boot()], vec![]));
        outbox.answered();
        assert_eq!(peers.well(later), [boot()]);
    }

    fn trim(number: u64) -> LogFrame<Copied> {
        let key = Key { user: UserHash { high: 1, low: 1 }, device: DeviceHash(1) };
        let segment = Segment { stamp: Stamp::from_raw(1), writer: Writer::from_raw(1) };
        let op = Op::Trim { key, upto: Position { segment, number } };
        LogFrame::ToMember { group: 0, frame: ToMember::Logged { place: number, op } }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_acknowledged_goes_with_what_follows_or_after_a_while() {
        let peers = Peers::default();
        let outbox = peers.open(&boot());
        peers.send(&boot(), trim(1));
        assert!(outbox.take().now_or_never().is_none(), "it waits for more");
        peers.send(&boot(), frame(1));
        peers.send(&boot(), trim(2));
        let taken = outbox.take().now_or_never().flatten().map(|frames| frames.len());
        assert_eq!(taken, Some(3), "in their order");
        peers.send(&boot(), trim(3));
        let began = Instant::now();
        assert_eq!(outbox.take().await.map(|frames| frames.len()), Some(1));
        assert_eq!(began.elapsed(), limits::TRIMMED_WITHIN);
    }

    #[tokio::test]
    async fn the_stream_of_who_takes_too_little_is_over() {
        let peers = Peers::default();
        let outbox = peers.open(&boot());
        (0..=limits::LOG_FRAMES_MAX).for_each(|_| peers.send(&boot(), frame(1)));
        assert!(outbox.take().await.is_none());
    }
}
