//! The hand-overs of a node that are under way, and those who wait for them.
//!
//! Who takes a session over asks its former owner to let go, and is answered when all that this node owes the client was
//! offered to it: what the session itself owes, and what earlier ones of its key still do, whose next owner was not reached or
//! had let go itself. For a while after that it is remembered who has it: another one who asks has not.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};

use crate::id::NodeName;
use crate::key::Key;

/// The hand-overs of a node that are under way.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashMap<Key, Vec<Arc<HandOver>>>>);

/// The hand-over of a session, until this is dropped.
pub(super) struct Running {
    key: Key,
    hand_over: Arc<HandOver>,
    under_way: Arc<UnderWay>,
}

struct HandOver {
    asked: Mutex<Asked>,
    wake: Notify,
    tried: watch::Sender<Tried>,
}

/// What others want of a hand-over.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// How often one was asked for.
    times: u64,
    /// By whom last, unless that was looked at.
    by: Option<NodeName>,
}

/// One try, which serves all that have asked before it began.
pub(super) struct Try {
    serves: u64,
    /// The node that asks for it.
    pub(super) asker: Option<NodeName>,
}

/// What became of the last try.
#[derive(Debug, Clone, Default)]
struct Tried {
    serves: u64,
    end: End,
}

/// How a try ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum End {
    /// This node has all of it.
    Taken(NodeName),
    /// This node was asked, and has no session that could take it.
    Nobody(NodeName),
    /// The next owner has no room, was not reached, or is not known.
    #[default]
    Failed,
}

impl UnderWay {
    /// One that begins, if it `is_first`. Those of the key that are over concern nobody any more. Whoever is not the first finds
    /// the first one's here: that is asked under the lock.
    pub(super) fn begin(self: &Arc<Self>, key: Key, is_first: impl FnOnce() -> bool) -> Option<Running> {
        let mut under_way = self.lock();
        if !is_first() {
            return None;
        }
        let asked = Mutex::new(Asked::default());
        let (tried, _) = watch::channel(Tried::default());
        let hand_over = Arc::new(HandOver { asked, wake: Notify::new(), tried });
        let of_key = under_way.entry(key).or_default();
        of_key.retain(|other| !other.is_over());
        of_key.push(Arc::clone(&hand_over));
        drop(under_way);
        Some(Running { key, hand_over, under_way: Arc::clone(self) })
    }

    /// Has all that is owed for a key offered to that node now. Returns whether it has all of it, or has no session that could
    /// take it; `None`: nothing is owed.
    pub(super) fn offer(
        &self,
        key: Key,
        asker: &NodeName,
    ) -> Option<impl Future<Output = bool> + Send + use<>> {
        let under_way = self.lock().get(&key).cloned()?;
        let offers = under_way.into_iter().map(|hand_over| hand_over.offer(asker.clone()));
        let (offers, asker) = (join_all(offers.collect::<Vec<_>>()), asker.clone());
        let is_well = move |end| match end {
            End::Taken(by) | End::Nobody(by) => by == asker,
            End::Failed => false,
        };
        Some(async move { offers.await.into_iter().all(is_well) })
    }

    /// The same for a session of this node, which does not wait for it. Returns whether anything may come.
    pub(super) fn offer_here(&self, key: Key, me: &NodeName) -> bool {
        let owed =
            self.lock().get(&key).is_some_and(|under_way| under_way.iter().any(|other| !other.is_over()));
        if owed {
            drop(self.offer(key, me));
        }
        owed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Arc<HandOver>>>> {
        self.0.lock().expect(NOT_POISONED)
    }
}

impl HandOver {
    /// Whether some node has all of it.
    fn is_over(&self) -> bool {
        matches!(self.tried.borrow().end, End::Taken(_))
    }

    fn offer(self: Arc<Self>, asker: NodeName) -> impl Future<Output = End> + Send + use<> {
        let number = {
            let mut asked = self.asked.lock().expect(NOT_POISONED);
            asked.times += 1;
            asked.by = Some(asker);
            asked.times
        };
        self.wake.notify_one();
        let mut tried = self.tried.subscribe();
        drop(self);
        async move {
            tried
                .wait_for(|tried| tried.serves >= number)
                .await
                .map_or(End::Failed, |tried| tried.end.clone())
        }
    }
}

impl Running {
    /// The next try begins.
    pub(super) fn begin_try(&self) -> Try {
        let mut asked = self.hand_over.asked.lock().expect(NOT_POISONED);
        Try { serves: asked.times, asker: asked.by.take() }
    }

    /// It is over. One that nobody has asked for says nothing to whoever waits for the one before.
    pub(super) fn end_try(&self, over: Try, end: End) {
        let serves = if matches!(end, End::Taken(_)) { u64::MAX } else { over.serves };
        self.hand_over.tried.send_if_modified(|tried| {
            let is_asked_for = serves > tried.serves;
            if is_asked_for {
                *tried = Tried { serves, end };
            }
            is_asked_for
        });
    }

    /// Waits until somebody asks for a try. Cancel-safe.
    pub(super) async fn asked(&self) {
        self.hand_over.wake.notified().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        if let Some(hand_overs) = under_way.get_mut(&self.key) {
            hand_overs.retain(|other| !Arc::ptr_eq(other, &self.hand_over));
            if hand_overs.is_empty() {
                under_way.remove(&self.key);
            }
        }
    }
}

const NOT_POISONED: &str = "nothing panics while it holds the lock";

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::key::{DeviceHash, UserHash};

    const KEY: Key = Key { user: UserHash { high: 1, low: 1 }, device: DeviceHash(1) };

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn begin(under_way: &Arc<UnderWay>) -> Running {
        under_way.begin(KEY, || true).unwrap()
    }

    #[tokio::test]
    async fn of_two_that_begin_the_same_one_the_second_finds_that_of_the_first() {
        let under_way = Arc::new(UnderWay::default());
        let nobody_looks = || under_way.0.try_lock().is_err();
        let first = under_way.begin(KEY, nobody_looks);
        assert!(first.is_some(), "no other one finds nothing between the decision and its entry");
        assert!(under_way.begin(KEY, || false).is_none());
        assert!(under_way.offer(KEY, &name("b")).is_some());
    }

    #[tokio::test]
    async fn who_asks_waits_for_a_try_that_begins_after_that() {
        let under_way = Arc::new(UnderWay::default());
        assert!(under_way.offer(KEY, &name("b")).is_none(), "nothing is owed");
        let running = begin(&under_way);
        let before = running.begin_try();
        let mut waits = under_way.offer(KEY, &name("b")).unwrap().boxed();
        running.asked().await;
        let nobody = || End::Nobody(name("b"));
        running.end_try(before, nobody());
        assert_eq!((&mut waits).now_or_never(), None, "that was another one's");
        let next = running.begin_try();
        assert_eq!(next.asker, Some(name("b")));
        running.end_try(next, nobody());
        assert!(waits.await, "there is nobody yet who could take it");
        assert_eq!(running.begin_try().asker, None);
    }

    // The next try, which nobody had asked for, found nobody, and its end was taken for that of the first one: the asker was told that nothing
    // is owed.
    #[tokio::test]
    async fn who_asks_is_told_of_its_own_try_also_when_another_one_ends_before_it_looks() {
        let under_way = Arc::new(UnderWay::default());
        let running = begin(&under_way);
        let waits = under_way.offer(KEY, &name("b")).unwrap();
        running.end_try(running.begin_try(), End::Failed);
        running.end_try(running.begin_try(), End::Nobody(name("b")));
        assert!(!waits.await);
    }

    #[tokio::test]
    async fn who_was_not_tried_because_another_one_has_asked_as_well_is_not_told_that_nothing_is_owed() {
        let under_way = Arc::new(UnderWay::default());
        let running = begin(&under_way);
        let [first, last] = ["b", "c"].map(|asker| under_way.offer(KEY, &name(asker)).unwrap());
        let this_try = running.begin_try();
        let tried = this_try.asker.clone().expect("two have asked");
        running.end_try(this_try, End::Nobody(tried));
        assert_eq!((first.await, last.await), (false, true));
    }

    #[tokio::test]
    async fn who_asks_is_told_when_not_all_is_there() {
        let under_way = Arc::new(UnderWay::default());
        let (first, second) = (begin(&under_way), begin(&under_way));
        let end = |running: &Running, end| running.end_try(running.begin_try(), end);
        let waits = under_way.offer(KEY, &name("b")).unwrap();
        let taken = |by: &str| End::Taken(name(by));
        end(&first, taken("b"));
        end(&second, End::Failed);
        assert!(!waits.await);
        let waits = under_way.offer(KEY, &name("b")).unwrap();
        end(&second, taken("b"));
        assert!(waits.await);
        let waits = under_way.offer(KEY, &name("c")).unwrap();
        assert!(!waits.await, "it is at another node");
        let third = begin(&under_way);
        let waits = under_way.offer(KEY, &name("c")).unwrap();
        end(&third, taken("c"));
        assert!(waits.await, "those before are over");
        drop((first, second, third));
        assert!(under_way.offer(KEY, &name("b")).is_none());
    }

    #[tokio::test]
    async fn a_session_of_this_node_is_offered_what_nobody_has_taken_yet() {
        let under_way = Arc::new(UnderWay::default());
        assert!(!under_way.offer_here(KEY, &name("a")), "nothing is owed");
        let running = begin(&under_way);
        running.end_try(running.begin_try(), End::Failed);
        assert!(under_way.offer_here(KEY, &name("a")));
        running.asked().await;
        let this_try = running.begin_try();
        assert_eq!(this_try.asker, Some(name("a")));
        running.end_try(this_try, End::Taken(name("a")));
        assert!(!under_way.offer_here(KEY, &name("a")), "it has come");
    }
}
