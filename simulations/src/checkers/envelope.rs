//! What clients of `pushmesh.v1` are told: one welcome, first of all, with their own names, and in every
//! message the id of its push. A session that was resumed has a stamp above the one it resumes.

use std::collections::{BTreeMap, BTreeSet};

use crate::ask::{message_id, repeated_id, repeated_of};
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::event::{Event, Way, Welcome};
use crate::id::{ClientIndex, ConnectionId, NodeIndex, PushId, device_name, node_of, user_name, user_of};

/// Watches all envelopes.
#[derive(Default)]
pub(super) struct Envelope {
    dialled: BTreeMap<ConnectionId, Dialled>,
    welcomed: BTreeSet<ConnectionId>,
    /// Those whose client has sent what is no envelope.
    blundered: BTreeSet<ConnectionId>,
    /// Pushes to which their backend gave an id.
    named: BTreeSet<PushId>,
    /// The ids that nodes gave.
    ids: BTreeMap<String, PushId>,
    compared: u64,
}

struct Dialled {
    client: ClientIndex,
    node: NodeIndex,
    resumed: Option<u64>,
}

impl Checker for Envelope {
    fn name(&self) -> &'static str {
        "envelopes are as documented"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, resumed } => {
                let dialled = Dialled { client: *client, node: *node, resumed: *resumed };
                self.dialled.insert(*connection, dialled);
            }
            Event::Pushed { push, way, .. } if !matches!(way, Way::Embedded { .. }) => {
                self.named.insert(*push);
            }
            Event::Blundered { connection } => _ = self.blundered.insert(*connection),
            Event::Welcomed { connection, welcome } => {
                self.compared += 1;
                return self.welcomed(*connection, welcome);
            }
            Event::Enveloped { connection, kind, id, data } => {
                self.compared += 1;
                let told = (kind.as_str(), id.as_deref(), data.as_deref());
                return self
                    .told(*connection, told)
                    .map_err(|what| format!("connection {connection} was told {told:?}: {what}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("envelopes", self.compared)
    }
}

impl Envelope {
    fn welcomed(&mut self, connection: ConnectionId, welcome: &Welcome) -> Result<(), String> {
        let Some(Dialled { client, node, resumed }) = self.dialled.get(&connection) else {
            return Err(format!("connection {connection} was welcomed, and nobody dialled"));
        };
        if !self.welcomed.insert(connection) {
            return Err(format!("connection {connection} was welcomed twice"));
        }
        let names = [user_name(user_of(*client)), device_name(*client)];
        let right =
            [&welcome.user, &welcome.device] == names.each_ref() && node_of(&welcome.node) == Some(*node);
        if !right {
            return Err(format!("{names:?} at node {node} was welcomed as {welcome:?}"));
        }
        if resumed.is_some_and(|resumed| resumed >= welcome.session) {
            return Err(format!("client {client} resumed {resumed:?} and got {}", welcome.session));
        }
        Ok(())
    }

    fn told(
        &mut self,
        connection: ConnectionId,
        told: (&str, Option<&str>, Option<&str>),
    ) -> Result<(), String> {
        if !self.welcomed.contains(&connection) {
            return Err("it was not welcomed before".to_owned());
        }
        if self.blundered.contains(&connection) && matches!(told, ("error", Some("bad_message"), None)) {
            return Ok(());
        }
        // Clients do nothing else that has another answer; what only kept sessions are told has events of its own.
        let ("message", Some(id), Some(data)) = told else { return Err("that is no message".to_owned()) };
        if let Some((number, _)) = repeated_of(data) {
            return if id == repeated_id(number) { Ok(()) } else { Err("it has another id".to_owned()) };
        }
        let push = push_of(data).ok_or("it is no push")?;
        if self.named.contains(&push) {
            let expected = message_id(push);
            return if id == expected { Ok(()) } else { Err(format!("its id is {expected}")) };
        }
        let before = *self.ids.entry(id.to_owned()).or_insert(push);
        if before == push { Ok(()) } else { Err(format!("push {before} has that id")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Aim;

    fn seen(session: u64, user: &str, messages: &[(&str, &str)]) -> Result<(), String> {
        let mut checker = Envelope::default();
        let [user, device, node] = [user, "d0", "n1"].map(str::to_owned);
        let mut events = vec![
            Event::Dialled { connection: 7, client: 0, node: 0, resumed: Some(5) },
            Event::Welcomed { connection: 7, welcome: Welcome { user, device, node, session } },
            Event::Pushed { push: 1, node: 0, aim: Aim::All, found: Vec::new(), way: Way::Http },
        ];
        events.extend(messages.iter().map(|(id, data)| Event::Enveloped {
            connection: 7,
            kind: "message".to_owned(),
            id: Some((*id).to_owned()),
            data: Some((*data).to_owned()),
        }));
        events.iter().try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn a_wrong_id_is_found() {
        assert_eq!(seen(6, "u0", &[("p1", "m1"), ("x", "m2"), ("y", "m3")]), Ok(()));
        assert!(seen(6, "u0", &[("p2", "m1")]).unwrap_err().contains("p1"));
        assert!(seen(6, "u0", &[("x", "m2"), ("x", "m3")]).unwrap_err().contains("push 2"));
    }

    #[test]
    fn a_welcome_of_another_one_or_below_what_it_resumes_is_found() {
        assert!(seen(6, "u1", &[]).unwrap_err().contains("welcomed as"));
        assert!(seen(5, "u0", &[]).unwrap_err().contains("resumed"));
    }

    #[test]
    fn what_comes_before_the_welcome_is_found() {
        let enveloped = Event::Enveloped { connection: 7, kind: "pong".to_owned(), id: None, data: None };
        assert!(Envelope::default().event(0, &enveloped).unwrap_err().contains("not welcomed"));
    }
}
