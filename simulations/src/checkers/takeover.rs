//! Never do both lose: a connection is closed with 4001 only for another one of the same session, or of
//! the same user where the policy says so, that is there or ended a moment before for another reason. And
//! nobody is refused for what the policy allows.
//!
//! One that ended a moment before may still be claimed, or its claim may be on its way; where its node's
//! clock is ahead, that claim wins. A reconnect without a resume token is ordered by what its node knows
//! and by its clock: section 3.3 of docs/PROTOCOL.md. Under `reject-newer` the owner of the older claim is
//! asked before a session is closed for it, so that only a connection that is being let in counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pushmesh::config::Takeover as Policy;

use crate::checkers::checker::Checker;
use crate::event::{End, Event};
use crate::id::{ClientIndex, ConnectionId, user_of};
use crate::settings::Settings;

/// Watches who is closed for whom.
pub(super) struct Takeover {
    policy: Policy,
    connections: BTreeMap<ConnectionId, Connection>,
    closed: u64,
}

struct Connection {
    client: ClientIndex,
    /// When it ended, and whether it was for another one or it never was one: then nobody is closed for it.
    end: Option<(u64, bool)>,
    /// When it stopped to read, and when it went on.
    stalled: Option<(u64, Option<u64>)>,
}

impl Connection {
    /// Since when it may have been closed: who does not read sees it later.
    fn closed_since(&self, now_ms: u64) -> u64 {
        match self.stalled {
            Some((since_ms, until_ms)) if until_ms.is_none_or(|until_ms| until_ms + SEES_MS >= now_ms) => {
                since_ms
            }
            _ => now_ms,
        }
    }
}

impl Takeover {
    /// Nobody is connected.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { policy: settings.takeover, connections: BTreeMap::new(), closed: 0 }
    }

    /// Whether one of two clients may take the other one's place.
    fn excludes(&self, one: ClientIndex, other: ClientIndex) -> bool {
        one == other || (self.policy.sessions_max().is_some() && user_of(one) == user_of(other))
    }

    fn ended(&mut self, connection: ConnectionId, now_ms: u64, taken: bool) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.end = Some((now_ms, taken));
        }
    }

    fn taken(&self, connection: ConnectionId, now_ms: u64) -> Result<(), String> {
        let grace_ms = if self.policy == Policy::RejectNewer { LET_IN_MS } else { TRAVELS_MS };
        let Some(taken) = self.connections.get(&connection) else { return Ok(()) };
        let since_ms = taken.closed_since(now_ms);
        let takes = |(id, other): (&ConnectionId, &Connection)| {
            *id != connection
                && self.excludes(taken.client, other.client)
                && other.end.is_none_or(|(ended_ms, taken_too)| !taken_too && ended_ms + grace_ms >= since_ms)
        };
        if self.connections.iter().any(takes) {
            return Ok(());
        }
        let client = taken.client;
        Err(format!("connection {connection} of client {client} was closed with 4001, and for no other one"))
    }
}

impl Checker for Takeover {
    fn name(&self) -> &'static str {
        "a session is taken over by another one, and never do both lose"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, .. } => {
                let dialled = Connection { client: *client, end: None, stalled: None };
                self.connections.insert(*connection, dialled);
            }
            Event::Refused { connection, client, why, .. } => {
                let let_in = !why.contains(REJECTED) && why.parse::<SocketAddr>().is_err();
                self.ended(*connection, now_ms, !let_in);
                let allowed = |status: &str| match status {
                    "409" => self.policy == Policy::RejectNewer,
                    "503" => true,
                    _ => false,
                };
                if let Some(status) = why.strip_prefix(STATUS).map(|why| why.get(..3).unwrap_or_default())
                    && !allowed(status)
                {
                    return Err(format!("client {client} was refused with {status}"));
                }
            }
            Event::Stalled { connection, .. } => {
                self.connections.entry(*connection).and_modify(|at| at.stalled = Some((now_ms, None)));
            }
            Event::Resumed { connection } => {
                let goes_on = |at: &mut Connection| {
                    at.stalled = at.stalled.map(|(since_ms, _)| (since_ms, Some(now_ms)))
                };
                self.connections.entry(*connection).and_modify(goes_on);
            }
            Event::Ended { connection, end } => {
                let taken = matches!(end, End::Closed(Some(SUPERSEDED)));
                self.ended(*connection, now_ms, taken);
                if taken {
                    self.closed += 1;
                    return self.taken(*connection, now_ms);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("connections closed for another one", self.closed)
    }
}

/// The close code of a session whose place was taken: section 3.5 of docs/PROTOCOL.md.
const SUPERSEDED: u16 = 4001;
/// How long a node holds the claim of a client that has gone while it is let in, in milliseconds: the
/// takeover's timeout and the network, behind the longest time for which a plan lets a node hold still.
const LET_IN_MS: u64 = 13_000;
/// How long a claim may be on its way, in milliseconds: the same, and the time over which changes are
/// gathered and a session lingers.
const TRAVELS_MS: u64 = LET_IN_MS + 1_500;
/// How long a client that goes on to read needs to see the end, in milliseconds. Source: all that waits for
/// it is there.
const SEES_MS: u64 = 500;
/// How tungstenite tells that the older session stays.
const REJECTED: &str = "409";
/// What tungstenite says before the status of a refused handshake.
const STATUS: &str = "HTTP error: ";

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(policy: Policy, other: ClientIndex, ends: &[(ConnectionId, u16)]) -> Result<(), String> {
        let mut checker = Takeover::new(&Settings { takeover: policy, ..Settings::default() });
        let dialled = |connection, client| Event::Dialled { connection, client, node: 0, resumed: None };
        let mut events = vec![dialled(1, 0), dialled(2, other)];
        let ended = |(id, code): &(_, u16)| Event::Ended { connection: *id, end: End::Closed(Some(*code)) };
        events.extend(ends.iter().map(ended));
        events.iter().try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn both_that_lose_are_found() {
        assert_eq!(seen(Policy::ExclusiveDevice, 0, &[(1, 4001), (2, 1000)]), Ok(()));
        assert_eq!(seen(Policy::ExclusiveDevice, 0, &[(1, 1000), (2, 4001)]), Ok(()));
        assert!(seen(Policy::ExclusiveDevice, 0, &[(1, 4001), (2, 4001)]).is_err());
    }

    #[test]
    fn one_that_ended_long_before_is_no_reason() {
        let seen = |policy, pause_ms| {
            let mut checker = Takeover::new(&Settings { takeover: policy, ..Settings::default() });
            let dialled = |connection| Event::Dialled { connection, client: 0, node: 0, resumed: None };
            let ended = |connection, code| Event::Ended { connection, end: End::Closed(Some(code)) };
            let events =
                [(0, dialled(1)), (0, ended(1, 1000)), (pause_ms, dialled(2)), (pause_ms, ended(2, 4001))];
            events.iter().try_for_each(|(at_ms, event)| checker.event(*at_ms, event))
        };
        for (policy, grace_ms) in [(Policy::ExclusiveDevice, TRAVELS_MS), (Policy::RejectNewer, LET_IN_MS)] {
            assert_eq!(seen(policy, grace_ms), Ok(()));
            assert!(seen(policy, grace_ms + 1).is_err(), "{policy}");
        }
    }

    #[test]
    fn who_did_not_read_may_have_been_closed_when_it_began() {
        let dialled = |connection| Event::Dialled { connection, client: 0, node: 0, resumed: None };
        let ended = |connection, code| Event::Ended { connection, end: End::Closed(Some(code)) };
        let seen = |stalled_ms, resumed_ms, sees_ms| {
            let mut checker = Takeover::new(&Settings::default());
            let stalled = Event::Stalled { connection: 1, for_ms: 0 };
            let events = [
                (0, dialled(1)),
                (0, dialled(2)),
                (0, ended(2, 1000)),
                (stalled_ms, stalled),
                (resumed_ms, Event::Resumed { connection: 1 }),
                (sees_ms, ended(1, 4001)),
            ];
            events.iter().try_for_each(|(at_ms, event)| checker.event(*at_ms, event))
        };
        let (late_ms, reads_ms) = (TRAVELS_MS + 9, TRAVELS_MS + 9 + SEES_MS);
        assert_eq!(seen(TRAVELS_MS, late_ms, reads_ms), Ok(()));
        assert!(seen(TRAVELS_MS + 1, late_ms, reads_ms).is_err());
        assert!(seen(TRAVELS_MS, late_ms, reads_ms + 1).is_err());
    }

    #[test]
    fn another_device_takes_the_place_only_where_the_policy_says_so() {
        assert_eq!(user_of(0), user_of(1));
        assert_eq!(seen(Policy::OnePerUser, 1, &[(1, 4001)]), Ok(()));
        assert!(seen(Policy::ExclusiveDevice, 1, &[(1, 4001)]).is_err());
        assert!(seen(Policy::OnePerUser, 5, &[(1, 4001)]).is_err());
    }

    #[test]
    fn a_refusal_that_the_policy_does_not_know_is_found() {
        let refused = |takeover, why: &str| {
            let event = Event::Refused { connection: 1, client: 0, node: 0, why: why.to_owned() };
            Takeover::new(&Settings { takeover, ..Settings::default() }).event(0, &event)
        };
        assert_eq!(refused(Policy::RejectNewer, "HTTP error: 409 Conflict"), Ok(()));
        assert!(refused(Policy::OnePerUser, "HTTP error: 409 Conflict").is_err());
        assert!(refused(Policy::RejectNewer, "HTTP error: 400 Bad Request").is_err());
        assert_eq!(refused(Policy::OnePerUser, "192.168.0.1:8080"), Ok(()));
    }
}
