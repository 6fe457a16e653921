//! What a client of pushmesh knows whose session is kept: where it is, and with what it comes back.
//!
//! It does what docs/PROTOCOL.md says in section 3.6: it takes each message once, moves its positions, and acknowledges.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Message;

use crate::envelope::{Acks, Envelope};

/// What the client knows.
#[derive(Debug, Default)]
pub(crate) struct Resuming {
    resume: String,
    /// The segment of the last welcome.
    segment: String,
    /// Up to where it has everything, by segment.
    positions: Vec<(String, u64)>,
    /// The ids of the messages that it took last.
    ids: VecDeque<String>,
    /// What it has to acknowledge in the segment of the last welcome.
    pub(crate) acks: Acks,
}

/// What the client is to do with a frame.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// It is connected, or more is known of what it missed: whether it has everything. `None`: that is not known yet.
    Resumed(Option<bool>),
    /// It takes this message.
    Take(String),
    /// Nothing, beside what it has to send.
    Nothing,
    /// The node breaks the protocol.
    Violation,
}

impl Resuming {
    /// What is added to the address: nothing, when it connects for the first time.
    pub(crate) fn query(&self) -> String {
        if self.resume.is_empty() {
            return String::new();
        }
        let named = self.positions.iter().rev().take(POSITIONS_MAX);
        let named: Vec<_> = named.map(|(segment, number)| format!("{segment}.{number}")).collect();
        format!("&resume={}&after={}", self.resume, named.join(","))
    }

    /// Reads a frame. Returns what to do, and what to send at once.
    pub(crate) fn read(&mut self, text: &str) -> (Step, Option<Message>) {
        let Ok(envelope) = serde_json::from_str(text) else { return (Step::Violation, None) };
        match envelope {
            Envelope::Welcome { resume, segment: Some(segment), n: Some(n), resumed: Some(resumed) } => {
                self.acks = Acks::default();
                if resumed == "none" {
                    self.positions.clear();
                }
                self.resume = resume;
                self.positions.push((segment.clone(), n));
                self.segment = segment;
                (Step::Resumed(is_complete(&resumed)), None)
            }
            // Its session is not kept.
            Envelope::Welcome { .. } => (Step::Violation, None),
            Envelope::Resumed { resumed } => (Step::Resumed(is_complete(&resumed)), None),
            Envelope::Message { id, n: Some(n), segment, data } => self.message(id, n, segment, data),
            Envelope::Message { .. } => (Step::Violation, None),
            Envelope::Gap { segment, from, to } => {
                let position = self.position(&segment);
                if from > *position + 1 {
                    return (Step::Violation, None);
                }
                *position = to.max(*position);
                let position = *position;
                (Step::Nothing, self.acknowledge(segment, position))
            }
            Envelope::Closed { segment } => {
                self.positions.retain(|(named, _)| *named != segment);
                (Step::Nothing, None)
            }
            Envelope::Other => (Step::Nothing, None),
        }
    }

    fn message(
        &mut self,
        id: String,
        n: u64,
        segment: Option<String>,
        data: String,
    ) -> (Step, Option<Message>) {
        let segment = segment.unwrap_or_else(|| self.segment.clone());
        let position = self.position(&segment);
        if n > *position + 1 {
            return (Step::Violation, None);
        }
        let is_new = n == *position + 1 && {
            *position = n;
            !self.ids.contains(&id)
        };
        let ack = self.acknowledge(segment, n);
        if !is_new {
            return (Step::Nothing, ack);
        }
        if self.ids.len() == IDS_MAX {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        (Step::Take(data), ack)
    }

    fn position(&mut self, segment: &str) -> &mut u64 {
        let known = self.positions.iter().position(|(named, _)| named == segment);
        let at = known.unwrap_or_else(|| {
            // An earlier one: that of the welcome stays the last.
            self.positions.insert(0, (segment.to_owned(), 0));
            0
        });
        &mut self.positions[at].1
    }

    /// What is of an earlier segment is acknowledged at once.
    fn acknowledge(&mut self, segment: String, n: u64) -> Option<Message> {
        if segment == self.segment {
            self.acks.came(n);
            return None;
        }
        Some(Message::text(format!("{{\"type\":\"ack\",\"n\":{n},\"segment\":\"{segment}\"}}")))
    }
}

/// Whoever comes back and is told `none` has lost its session.
fn is_complete(resumed: &str) -> Option<bool> {
    match resumed {
        "complete" => Some(true),
        "pending" => None,
        _ => Some(false),
    }
}

/// Source: docs/PROTOCOL.md, section 3.6.
const POSITIONS_MAX: usize = 4;
const IDS_MAX: usize = 1_024;
