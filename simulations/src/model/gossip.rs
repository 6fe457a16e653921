//! Heartbeats, as chitchat carries them: each node tells some others the greatest counters it knows.
//!
//! chitchat itself is not here. A boot is live after two new heartbeats, and lost when none came for a
//! while, which is what its phi-accrual detector does in calm weather; former boots are repeated until a
//! bound of time.

use std::sync::Arc;
use std::time::Duration;

/// Number of a (name, incarnation), in the order of their first boots.
pub(super) type GossipId = usize;

/// What one node tells another: of each boot the heartbeat, and whether it said that it left.
pub(super) type Table = Arc<[(u64, bool)]>;

/// What one node has heard.
#[derive(Default)]
pub(super) struct Heartbeats(Vec<Heard>);

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    heartbeat: u64,
    left: bool,
    /// When the heartbeat grew last.
    at: Duration,
    /// How often it grew without a long pause.
    times: u32,
    /// What was shown of it last.
    shown: Option<Shown>,
}

/// What gossip shows of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// Which one.
    pub(super) id: GossipId,
    /// Its counter.
    pub(super) heartbeat: u64,
    /// Whether it is heard.
    pub(super) live: bool,
    /// Whether it said that it left.
    pub(super) left: bool,
}

impl Heartbeats {
    /// What a peer told, or the node knows of itself.
    pub(super) fn merge(&mut self, now: Duration, lost_after: Duration, table: &Table) {
        if self.0.len() < table.len() {
            self.0.resize(table.len(), Heard::default());
        }
        for (heard, (heartbeat, left)) in self.0.iter_mut().zip(table.iter()) {
            if *heartbeat > heard.heartbeat {
                heard.times = if now - heard.at > lost_after { 1 } else { heard.times + 1 };
                heard.heartbeat = *heartbeat;
                heard.at = now;
            }
            heard.left |= left;
        }
    }

    /// A node's own counter.
    pub(super) fn beat(&mut self, now: Duration, own: GossipId, left: bool) {
        if self.0.len() <= own {
            self.0.resize(own + 1, Heard::default());
        }
        // Time itself, so that also a boot that starts over under a used incarnation counts on.
        self.0[own] = Heard { heartbeat: now.as_micros() as u64 + 1, left, at: now, times: 2, shown: None };
    }

    /// What is told to others.
    pub(super) fn table(&self) -> Table {
        self.0.iter().map(|heard| (heard.heartbeat, heard.left)).collect()
    }

    /// What is heard of others; unless `all`, only what is not as it was shown last.
    pub(super) fn shown(
        &mut self,
        now: Duration,
        own: GossipId,
        (lost_after, kept): (Duration, Duration),
        all: bool,
    ) -> Vec<Shown> {
        let mut shown = Vec::new();
        for (id, heard) in self.0.iter_mut().enumerate() {
            if id == own || heard.heartbeat == 0 || now - heard.at > kept {
                continue;
            }
            let live = heard.times >= 2 && now - heard.at <= lost_after;
            let this = Shown { id, heartbeat: heard.heartbeat, live, left: heard.left };
            if heard.shown.replace(this) != Some(this) || all {
                shown.push(this);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn told(heartbeat: u64) -> Table {
        [(0, false), (heartbeat, false)].into()
    }

    #[test]
    fn a_boot_is_live_after_two_heartbeats_and_until_they_stop() {
        let mut heard = Heartbeats::default();
        let live = |heard: &mut Heartbeats, now| {
            let shown = heard.shown(now, 0, (3 * SECOND, 9 * SECOND), true);
            shown.iter().map(|shown| shown.live).collect::<Vec<_>>()
        };
        heard.merge(SECOND, 3 * SECOND, &told(7));
        heard.merge(SECOND, 3 * SECOND, &told(7));
        assert_eq!(live(&mut heard, SECOND), [false], "one may be an old one");
        heard.merge(2 * SECOND, 3 * SECOND, &told(8));
        assert_eq!(live(&mut heard, 2 * SECOND), [true]);
        heard.merge(2 * SECOND, 3 * SECOND, &told(5));
        assert_eq!(live(&mut heard, 6 * SECOND), [false]);
        assert!(live(&mut heard, 12 * SECOND).is_empty(), "forgotten");
    }
}
