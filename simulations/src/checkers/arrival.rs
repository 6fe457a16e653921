//! What a client receives was pushed, was meant for it, and comes once.
//!
//! A broadcast comes once on each connection: every node sends it to the sessions that it holds, so
//! that a client which moves meanwhile may get it from both.

use std::collections::{BTreeMap, BTreeSet};

use crate::aim::Aim;
use crate::ask::repeated_of;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::{ClientIndex, ConnectionId, PushId};

/// Watches every frame that a client receives.
#[derive(Default)]
pub(super) struct Arrival {
    aims: BTreeMap<PushId, Aim>,
    clients: BTreeMap<ConnectionId, ClientIndex>,
    got: BTreeSet<(ClientIndex, PushId)>,
    broadcasts: BTreeSet<(ConnectionId, PushId)>,
}

impl Checker for Arrival {
    fn name(&self) -> &'static str {
        "a client receives only what was pushed to it, and once"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Pushed { push, aim, .. } => _ = self.aims.insert(*push, *aim),
            Event::Opened { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            // Those that may be made again have a checker of their own.
            Event::Got { text, .. } if repeated_of(text).is_some() => {}
            Event::Got { connection, text } => return self.got(*connection, text),
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("frames received", (self.got.len() + self.broadcasts.len()) as u64)
    }
}

impl Arrival {
    fn got(&mut self, connection: ConnectionId, text: &str) -> Result<(), String> {
        let Some(client) = self.clients.get(&connection).copied() else {
            return Err(format!("connection {connection} is not open and received {text}"));
        };
        let Some((push, aim)) = push_of(text).and_then(|push| Some((push, *self.aims.get(&push)?))) else {
            return Err(format!("client {client} received {text}, which nobody pushed"));
        };
        if !aim.includes(client) {
            return Err(format!("client {client} received push {push}, which is for {aim:?}"));
        }
        let fresh = match aim {
            Aim::All => self.broadcasts.insert((connection, push)),
            Aim::Client(_) | Aim::User(_) => self.got.insert((client, push)),
        };
        if !fresh {
            return Err(format!("client {client} received push {push} twice"));
        }
        Ok(())
    }
}

/// The push that a frame carries.
pub(super) fn push_of(text: &str) -> Option<PushId> {
    text.strip_prefix('m')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Way;

    fn seen(texts: &[&str]) -> Result<(), String> {
        let mut checker = Arrival::default();
        let events = [
            Event::Pushed { push: 4, node: 0, aim: Aim::All, found: Vec::new(), way: Way::Http },
            Event::Pushed { push: 1, node: 0, aim: Aim::Client(0), found: Vec::new(), way: Way::Http },
            Event::Pushed { push: 2, node: 0, aim: Aim::Client(1), found: Vec::new(), way: Way::Http },
            Event::Opened { connection: 7, client: 0, node: 0 },
        ];
        let got = texts.iter().map(|text| Event::Got { connection: 7, text: (*text).to_owned() });
        events.into_iter().chain(got).try_for_each(|event| checker.event(0, &event))
    }

    #[test]
    fn a_push_may_come_once() {
        assert_eq!(seen(&["m1"]), Ok(()));
        assert!(seen(&["m1", "m1"]).unwrap_err().contains("twice"));
        assert!(seen(&["m4", "m4"]).unwrap_err().contains("twice"));
    }

    #[test]
    fn what_is_for_another_one_or_from_nobody_is_found() {
        assert!(seen(&["m2"]).unwrap_err().contains("is for"));
        assert!(seen(&["m3"]).unwrap_err().contains("nobody pushed"));
        assert!(seen(&["?"]).unwrap_err().contains("nobody pushed"));
    }
}
