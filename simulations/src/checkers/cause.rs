//! Nothing breaks by itself: a node that nothing happened to closes a connection only for what its client
//! or a backend did, and answers every call.
//!
//! 4001 is [`takeover`](super::takeover)'s.

use std::collections::BTreeMap;

use pushmesh::limits;

use crate::aim::Aim;
use crate::ask::Ask;
use crate::checkers::bounds::CLOSE_MS_MAX;
use crate::checkers::checker::Checker;
use crate::checkers::disturbed::Disturbed;
use crate::event::{End, Event};
use crate::id::{CallId, ClientIndex, ConnectionId, NodeIndex};
use crate::plan::LATENCY_MS_MAX;
use crate::settings::Settings;

/// Watches how connections and calls end.
pub(super) struct Cause {
    /// Outboxes are so small that also a client that reads may be too slow.
    small_outbox: bool,
    settings: Settings,
    disturbed: Disturbed,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Where calls were made, and when.
    calls: BTreeMap<CallId, (NodeIndex, u64)>,
    /// Whom backends wanted disconnected.
    kicked: Vec<Aim>,
    compared: u64,
}

struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    dialled_ms: u64,
    /// It did not read for a while.
    stalled: bool,
    /// Its client began to close it.
    closing: bool,
    /// Its client sent what no node takes.
    blundered: bool,
    /// Until when its socket was full last.
    full_ms: Option<u64>,
}

impl Cause {
    /// Nobody is connected.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            small_outbox: settings.outbox_messages < Settings::default().outbox_messages,
            settings: settings.clone(),
            disturbed: Disturbed::default(),
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            kicked: Vec::new(),
            compared: 0,
        }
    }

    /// Whether there is a cause for this end of a connection.
    fn has_cause(&self, now_ms: u64, at: &Connection, end: &End) -> bool {
        let disturbed = !self.disturbed.is_well_since(at.node, at.dialled_ms);
        // A socket that is full twice in a row takes no close in time, and its client is not heard meanwhile.
        let full = at.full_ms.is_some_and(|full_ms| full_ms + CLOSE_MS_MAX >= now_ms);
        match end {
            End::Dropped | End::Reset | End::Closed(Some(SUPERSEDED)) => true,
            End::Closed(None | Some(NORMAL)) => at.closing,
            End::Closed(Some(SILENT)) => at.stalled || at.blundered || full || disturbed,
            End::Closed(Some(STOPPING)) => disturbed,
            End::Closed(Some(NOT_TEXT | TOO_BIG)) => at.blundered,
            End::Closed(Some(KICKED)) => self.kicked.iter().any(|aim| aim.includes(at.client)),
            // One whose session is kept may be too slow to acknowledge, or not have its word heard.
            End::Closed(Some(SLOW)) => {
                at.stalled || self.small_outbox || disturbed || self.settings.keep_s(at.client) > 0
            }
            // Others know of a greater claim of its session, which the directory does not show.
            End::Closed(Some(TRY_LATER)) => self.settings.is_copied(at.client),
            End::Closed(Some(_)) => false,
            End::Broken(_) => at.closing || at.stalled || full || disturbed,
        }
    }
}

impl Checker for Cause {
    fn name(&self) -> &'static str {
        "a node that nothing happened to breaks nothing by itself"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.disturbed.event(now_ms, event);
        match event {
            Event::Dialled { connection, client, node, .. } => {
                let (client, node, dialled_ms) = (*client, *node, now_ms);
                let dialled = Connection {
                    client,
                    node,
                    dialled_ms,
                    stalled: false,
                    closing: false,
                    blundered: false,
                    full_ms: None,
                };
                self.connections.insert(*connection, dialled);
            }
            Event::Stalled { connection, .. } => {
                self.connections.entry(*connection).and_modify(|at| at.stalled = true);
            }
            Event::Blundered { connection } => {
                self.connections.entry(*connection).and_modify(|at| at.blundered = true);
            }
            Event::Full { connection, for_ms } => {
                self.connections.entry(*connection).and_modify(|at| at.full_ms = Some(now_ms + for_ms));
            }
            Event::Closing { connection } => {
                self.connections.entry(*connection).and_modify(|at| at.closing = true);
            }
            Event::Ended { connection, end } => {
                let Some(at) = self.connections.remove(connection) else { return Ok(()) };
                self.compared += 1;
                if !self.has_cause(now_ms, &at, end) {
                    let Connection { client, node, dialled_ms, .. } = at;
                    return Err(format!(
                        "connection {connection} of client {client} at node {node}, dialled at {dialled_ms} ms, ended \
                         as {end:?} for nothing"
                    ));
                }
            }
            Event::Called { call, node, ask, .. } => {
                self.calls.insert(*call, (*node, now_ms));
                if let Ask::Kick(aim) = ask {
                    self.kicked.push(*aim);
                }
            }
            Event::Lost { call, why, line_ms, idle_ms } => {
                self.compared += 1;
                if let Some((node, called_ms)) = self.calls.get(call)
                    && *idle_ms < IDLE_MS
                    && self.disturbed.is_well_since(*node, *called_ms.min(line_ms))
                {
                    return Err(format!("call {call} at node {node} was lost for nothing: {why}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("ends of connections and lost calls explained", self.compared)
    }
}

/// A call that is made so long after the last one over a connection may cross its end: nodes close idle
/// ones, and HTTP has no word that it was not read.
const IDLE_MS: u64 = limits::KEEP_ALIVE.as_millis() as u64 - 4 * LATENCY_MS_MAX;
/// Close codes: section 3.5 of docs/PROTOCOL.md.
const NORMAL: u16 = 1000;
const NOT_TEXT: u16 = 1007;
const SILENT: u16 = 1008;
const TOO_BIG: u16 = 1009;
const STOPPING: u16 = 1012;
const TRY_LATER: u16 = 1013;
const SUPERSEDED: u16 = 4001;
const KICKED: u16 = 4002;
const SLOW: u16 = 4004;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[Event], end: End) -> Result<(), String> {
        let mut checker = Cause::new(&Settings::default());
        let booted = [Event::Booted { node: 0, incarnation: 1 }, dialled()];
        let ended = [Event::Ended { connection: 7, end }];
        booted.iter().chain(events).chain(&ended).try_for_each(|event| checker.event(5, event))
    }

    fn dialled() -> Event {
        Event::Dialled { connection: 7, client: 0, node: 0, resumed: None }
    }

    fn closed(code: u16) -> End {
        End::Closed(Some(code))
    }

    #[test]
    fn an_end_for_nothing_is_found_and_each_has_its_cause() {
        for code in [NORMAL, NOT_TEXT, SILENT, TOO_BIG, STOPPING, KICKED, SLOW, 1011] {
            assert!(after(&[], closed(code)).is_err(), "{code}");
        }
        assert!(
            after(&[], End::Broken("reset".to_owned())).is_err() && after(&[], End::Closed(None)).is_err()
        );
        let kick = |client| Event::Called {
            call: 1,
            node: 0,
            ask: Ask::Kick(Aim::Client(client)),
            pushes: Vec::new(),
        };
        assert!(after(&[kick(1)], closed(KICKED)).is_err());
        assert_eq!(after(&[kick(0)], closed(KICKED)), Ok(()));
        assert_eq!(after(&[Event::Closing { connection: 7 }], closed(NORMAL)), Ok(()));
        assert_eq!(after(&[Event::Stalled { connection: 7, for_ms: 9 }], closed(SILENT)), Ok(()));
        let full = Event::Full { connection: 7, for_ms: 9 };
        assert_eq!(after(&[full], End::Broken("reset".to_owned())), Ok(()));
        assert_eq!(after(&[Event::Stopping { node: 0 }], closed(STOPPING)), Ok(()));
        assert_eq!(after(&[Event::Blundered { connection: 7 }], closed(TOO_BIG)), Ok(()));
        assert!(after(&[Event::Stopping { node: 1 }], closed(STOPPING)).is_err());
        assert_eq!(after(&[Event::Crashed { node: 0 }], End::Broken("reset".to_owned())), Ok(()));
    }

    #[test]
    fn a_call_that_a_running_node_does_not_answer_is_found() {
        let lost = |line_ms, crashes: bool, idle_ms| {
            let mut checker = Cause::new(&Settings::default());
            let mut events = vec![(3, Event::Booted { node: 0, incarnation: 1 })];
            events.push((6, Event::Called { call: 1, node: 0, ask: Ask::Stats, pushes: Vec::new() }));
            events.extend(crashes.then_some((7, Event::Crashed { node: 0 })));
            events.push((9, Event::Lost { call: 1, why: "reset".to_owned(), line_ms, idle_ms }));
            events.iter().try_for_each(|(at_ms, event)| checker.event(*at_ms, event))
        };
        assert!(lost(6, false, 0).is_err() && lost(8, false, 0).is_err());
        assert_eq!((lost(6, true, 0), lost(6, false, IDLE_MS)), (Ok(()), Ok(())));
        assert_eq!(lost(2, false, 0), Ok(()), "the connection was one to a former boot");
    }
}
