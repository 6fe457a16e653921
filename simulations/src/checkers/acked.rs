//! What is called acked was acknowledged by its client before, and only of a session that is kept anything is called acked or
//! queued.

use std::collections::BTreeMap;

use crate::checkers::acks::Acks;
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{ClientIndex, ConnectionId, PushId};
use crate::position::Position;
use crate::settings::Settings;
use pushmesh::Outcome;

/// Keeps what clients have said, and of which messages.
pub(super) struct Acked {
    settings: Settings,
    clients: BTreeMap<ConnectionId, ClientIndex>,
    places: BTreeMap<(ClientIndex, PushId), Position>,
    acks: Acks,
    promised: u64,
}

impl Acked {
    /// Nobody has said anything.
    pub(super) fn new(settings: &Settings) -> Self {
        let (clients, places) = Default::default();
        Self { settings: settings.clone(), clients, places, acks: Acks::default(), promised: 0 }
    }

    fn is_acked(&self, client: ClientIndex, push: PushId) -> bool {
        let place = self.places.get(&(client, push));
        place.is_some_and(|at| self.acks.up_to(client, &at.segment) >= at.n)
    }
}

impl Checker for Acked {
    fn name(&self) -> &'static str {
        "what is called acked was acknowledged"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        self.acks.event(event);
        match event {
            Event::Dialled { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            Event::Kept {
                connection,
                what: Kept::Flushed { at, text } | Kept::Received { at, text, .. },
            } => {
                let place = push_of(text).zip(self.clients.get(connection));
                self.places.extend(place.map(|(push, client)| ((*client, push), at.clone())));
            }
            Event::Answered { push, sessions, .. } => {
                for answer in sessions {
                    if !matches!(answer.outcome, Outcome::Acked | Outcome::Queued) {
                        continue;
                    }
                    self.promised += 1;
                    let word = answer.outcome.as_str();
                    let Some(client) = answer.client.filter(|client| self.settings.keep_s(*client) > 0)
                    else {
                        return Err(format!(
                            "push {push} was called {word} at {answer:?}, which is not kept"
                        ));
                    };
                    if answer.outcome == Outcome::Acked && !self.is_acked(client, *push) {
                        let at = self.places.get(&(client, *push));
                        return Err(format!(
                            "push {push} at {at:?} was called acked, and client {client} has not said so"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("pushes called acked or queued", self.promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::position::Segment;
    use crate::settings::Keeping;

    fn seen(client: ClientIndex, outcome: Outcome, acked: Option<u64>) -> Result<(), String> {
        let keeping = Some(Keeping { seconds: 9, careless: 0.0, everybody: false, copies: 0 });
        let mut checker = Acked::new(&Settings { keeping, ..Settings::default() });
        let at = |n| Position { segment: Segment::new("00000000000000070000000a").unwrap(), n };
        let kept = |what| Event::Kept { connection: 1, what };
        let answer = Answer { client: Some(client), node: Some("n1".to_owned()), outcome, copies: 0 };
        let mut events = vec![
            Event::Dialled { connection: 1, client: 0, node: 0, resumed: None },
            kept(Kept::Flushed { at: at(2), text: "m5".to_owned() }),
        ];
        events.extend(acked.map(|n| kept(Kept::Acked(at(n)))));
        events.push(Event::Answered { push: 5, sessions: vec![answer], delivered: 0 });
        events.iter().try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn what_no_client_has_said_is_found() {
        assert_eq!(seen(0, Outcome::Acked, Some(2)), Ok(()));
        assert!(seen(0, Outcome::Acked, Some(1)).is_err() && seen(0, Outcome::Acked, None).is_err());
        assert_eq!(seen(0, Outcome::Queued, None), Ok(()));
        assert!(seen(2, Outcome::Queued, None).unwrap_err().contains("not kept"));
    }
}
