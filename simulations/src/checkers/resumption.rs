//! What a client is told when it comes back is told in its order, in time, and holds: segments that it has named come before newer
//! ones, unless the client was told that something is late. Of segments that it does not know nothing is said: another node may
//! have kept the session for a moment, and the new owner has not heard of it.

use std::collections::BTreeMap;

use pushmesh::limits;

use crate::checkers::checker::Checker;
use crate::checkers::disturbed::Disturbed;
use crate::event::kept::{Kept, Resumed};
use crate::event::{Event, Welcome};
use crate::host::Boot;
use crate::id::{ClientIndex, ConnectionId, NodeIndex};
use crate::plan::LATENCY_MS_MAX;
use crate::position::Segment;
use crate::settings::Settings;
use crate::world::LATE_ARRIVAL_MS_MAX;

/// Watches welcomes, and what follows.
pub(super) struct Resumption {
    settings: Settings,
    disturbed: Disturbed,
    connections: BTreeMap<ConnectionId, Return>,
    welcomed: u64,
}

/// A client that has come back.
struct Return {
    client: ClientIndex,
    node: NodeIndex,
    dialled_ms: u64,
    session: u64,
    state: Option<Resumed>,
    /// The segments that it has named.
    named: Vec<Segment>,
    /// Of these nothing comes late.
    in_order: bool,
    /// By when a client that waits has to be told more.
    told_by_ms: Option<u64>,
    /// Until when nothing can be told: it does not read, or its node cannot write.
    deaf_until_ms: u64,
    /// The segment of what came last.
    last: Option<Segment>,
}

impl Resumption {
    /// Nobody has come back.
    pub(super) fn new(settings: &Settings) -> Self {
        let (disturbed, connections) = Default::default();
        Self { settings: settings.clone(), disturbed, connections, welcomed: 0 }
    }
}

impl Checker for Resumption {
    fn name(&self) -> &'static str {
        "a client that comes back is told how much of what it missed will come, and when"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.disturbed.event(now_ms, event);
        match event {
            Event::Dialled { connection, client, node, .. } => {
                self.connections.insert(*connection, Return::new(*client, *node, now_ms));
            }
            Event::Welcomed { connection, welcome: Welcome { session, .. } } => {
                self.connections.entry(*connection).and_modify(|at| at.session = *session);
            }
            Event::Stalled { connection, for_ms } | Event::Full { connection, for_ms } => {
                self.connections.entry(*connection).and_modify(|at| at.is_deaf_until(now_ms + for_ms));
            }
            Event::Ended { connection, .. } => _ = self.connections.remove(connection),
            Event::Kept { connection, what } => {
                if let Some(at) = self.connections.get_mut(connection) {
                    self.welcomed += u64::from(matches!(what, Kept::Welcomed { .. }));
                    let keep_s = self.settings.keep_s(at.client);
                    let client = at.client;
                    return at
                        .told(now_ms, keep_s, what)
                        .map_err(|why| format!("client {client} on connection {connection}: {why}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, _: &[Option<Boot>]) -> Result<(), String> {
        for (connection, at) in &self.connections {
            if at.told_by_ms.is_some_and(|by_ms| now_ms > by_ms)
                && self.disturbed.is_well_since(at.node, at.dialled_ms)
            {
                let client = at.client;
                return Err(format!("client {client} on connection {connection} waits to be told what came"));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("returns to kept sessions", self.welcomed)
    }
}

impl Return {
    fn new(client: ClientIndex, node: NodeIndex, dialled_ms: u64) -> Self {
        let (session, state, named, in_order, last) = Default::default();
        let (told_by_ms, deaf_until_ms) = (None, 0);
        Self { client, node, dialled_ms, session, state, named, in_order, told_by_ms, deaf_until_ms, last }
    }

    fn is_deaf_until(&mut self, until_ms: u64) {
        self.deaf_until_ms = self.deaf_until_ms.max(until_ms);
        self.told_by_ms = None;
    }

    fn told(&mut self, now_ms: u64, keep_s: u32, what: &Kept) -> Result<(), String> {
        match what {
            Kept::Welcomed { segment, keep, resumed, missing } => {
                if *keep != keep_s || segment.stamp() != self.session {
                    return Err(format!("{keep_s} s were asked for session {:x}: {what:?}", self.session));
                }
                // With `none` it forgets them, and what a former owner holds all the same may come.
                self.in_order = *resumed == Resumed::Complete;
                self.becomes(now_ms, *resumed, missing.is_empty())
            }
            Kept::Shown { after, .. } => {
                self.named = after.iter().map(|at| at.segment.clone()).collect();
                Ok(())
            }
            Kept::Resumed { resumed, missing } => {
                let before = self.state;
                let fits = match resumed {
                    Resumed::Complete => matches!(before, Some(Resumed::Pending | Resumed::Partial)),
                    Resumed::Partial => before == Some(Resumed::Pending),
                    Resumed::Pending | Resumed::None => false,
                };
                if !fits {
                    return Err(format!("{what:?} is told after {before:?}"));
                }
                self.becomes(now_ms, *resumed, missing.is_empty())
            }
            Kept::Received { at, .. } => self.comes(&at.segment),
            Kept::Gap { segment, .. } => self.comes(segment),
            Kept::Closed(_) | Kept::AheadRefused if self.state.is_none() => {
                Err("it was not welcomed".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn becomes(&mut self, now_ms: u64, state: Resumed, none_missing: bool) -> Result<(), String> {
        if none_missing == (state == Resumed::Partial) {
            return Err(format!("{state:?} goes with what is missing, and nothing else does"));
        }
        self.state = Some(state);
        let waits = state == Resumed::Pending && now_ms >= self.deaf_until_ms;
        self.told_by_ms = waits.then_some(now_ms + TOLD_MS_MAX);
        Ok(())
    }

    /// Something of a segment comes.
    fn comes(&mut self, segment: &Segment) -> Result<(), String> {
        if self.state.is_none() {
            return Err("it was not welcomed".to_owned());
        }
        let in_order = self.in_order && self.named.contains(segment);
        if let Some(last) = self.last.as_ref().filter(|last| in_order && *last > segment) {
            return Err(format!("{segment:?} comes behind {last:?}, and {:?} was told", self.state));
        }
        if self.last.as_ref().is_none_or(|last| last < segment) {
            self.last = Some(segment.clone());
        }
        Ok(())
    }
}

/// How long a client waits for what follows `pending`, in milliseconds.
const TOLD_MS_MAX: u64 =
    limits::RESUME_TIMEOUT.as_millis() as u64 + LATENCY_MS_MAX + LATE_ARRIVAL_MS_MAX + TICKS_MS;
/// For tasks to run: some ticks.
const TICKS_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::kept::Shows;
    use crate::position::Position;
    use crate::settings::Keeping;

    fn segment(stamp: u64) -> Segment {
        Segment::new(&format!("{stamp:016x}0000000a")).unwrap()
    }

    fn got(stamp: u64) -> Kept {
        let at = Position { segment: segment(stamp), n: 1 };
        Kept::Received { at, id: String::new(), text: "m1".to_owned(), taken: true }
    }

    fn welcomed(resumed: Resumed) -> Kept {
        let missing = match resumed {
            Resumed::Partial => vec![Position { segment: segment(5), n: 2 }],
            _ => Vec::new(),
        };
        Kept::Welcomed { segment: segment(7), keep: 9, resumed, missing }
    }

    fn checker() -> Resumption {
        let keeping = Some(Keeping { seconds: 9, careless: 0.0, everybody: false, copies: 0 });
        let mut checker = Resumption::new(&Settings { keeping, ..Settings::default() });
        let [user, device, node] = ["u0", "d0", "n1"].map(str::to_owned);
        for event in [
            Event::Booted { node: 0, incarnation: 1 },
            Event::Dialled { connection: 1, client: 0, node: 0, resumed: None },
            Event::Welcomed { connection: 1, welcome: Welcome { user, device, node, session: 7 } },
        ] {
            checker.event(0, &event).unwrap();
        }
        checker
    }

    fn seen(told: Vec<Kept>) -> Result<(), String> {
        let mut checker = checker();
        let named = Position { segment: segment(5), n: 0 };
        let shown = Kept::Shown { after: vec![named], shows: Shows::All };
        checker.event(0, &Event::Kept { connection: 1, what: shown }).unwrap();
        told.into_iter().try_for_each(|what| checker.event(0, &Event::Kept { connection: 1, what }))
    }

    fn more(resumed: Resumed) -> Kept {
        Kept::Resumed { resumed, missing: Vec::new() }
    }

    #[test]
    fn an_older_segment_behind_a_newer_one_is_found_unless_something_is_late() {
        let come = |resumed| seen(vec![welcomed(resumed), got(5), got(7), got(5)]);
        assert!(come(Resumed::Complete).is_err());
        for late in [Resumed::Pending, Resumed::Partial, Resumed::None] {
            assert_eq!(come(late), Ok(()), "{late:?}");
        }
        assert!(seen(vec![got(5)]).unwrap_err().contains("welcomed"));
    }

    #[test]
    fn what_is_told_in_another_order_is_found() {
        assert_eq!(seen(vec![welcomed(Resumed::Pending), more(Resumed::Complete)]), Ok(()));
        assert_eq!(seen(vec![welcomed(Resumed::Partial), more(Resumed::Complete)]), Ok(()));
        assert!(seen(vec![welcomed(Resumed::Complete), more(Resumed::Complete)]).is_err());
        assert!(seen(vec![welcomed(Resumed::Pending), more(Resumed::None)]).is_err());
        let partial = seen(vec![welcomed(Resumed::Pending), more(Resumed::Partial)]);
        assert!(partial.unwrap_err().contains("missing"), "a partial says what is missing");
    }

    #[test]
    fn a_client_that_waits_for_too_long_is_found() {
        let mut checker = checker();
        let pending = Event::Kept { connection: 1, what: welcomed(Resumed::Pending) };
        checker.event(1_000, &pending).unwrap();
        assert_eq!(checker.tick(1_000 + TOLD_MS_MAX, &[]), Ok(()));
        assert!(checker.tick(1_001 + TOLD_MS_MAX, &[]).is_err());
        checker.event(1_000, &Event::Stalled { connection: 1, for_ms: 9 }).unwrap();
        assert_eq!(checker.tick(1_001 + TOLD_MS_MAX, &[]), Ok(()));
        // What it was told before had been taken by its socket.
        checker.event(1_008, &pending).unwrap();
        assert_eq!(checker.tick(1_009 + TOLD_MS_MAX, &[]), Ok(()));
        checker.event(1_009, &pending).unwrap();
        assert!(checker.tick(1_010 + TOLD_MS_MAX, &[]).is_err());
    }
}
