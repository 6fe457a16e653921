//! What a client knows when it comes back: its resume token, and the positions up to which it has everything.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::id::MessageId;
use crate::limits;

/// What the connections before have left.
#[derive(Default)]
pub(super) struct Before {
    /// The resume token of the last welcome.
    pub(super) resume: Option<String>,
    pub(super) positions: Positions,
}

/// The positions of a session that is kept, and the ids of its last messages.
#[derive(Default)]
pub(super) struct Positions {
    /// The segment of the last welcome.
    current: String,
    /// The last number that was printed of each segment.
    numbers: BTreeMap<String, u64>,
    recent: VecDeque<MessageId>,
}

/// What a message is to a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The next one, at this position.
    Next(String),
    /// It was printed already.
    Known,
    /// The next one, after a hole of which the server did not tell.
    Skipped(String),
}

impl Positions {
    /// The session numbers this segment from now on. `fresh`: nothing that came before belongs to it.
    pub(super) fn welcome(&mut self, segment: &str, number: u64, fresh: bool) {
        if fresh {
            self.numbers.clear();
        }
        self.current = segment.to_owned();
        self.numbers.insert(segment.to_owned(), number);
        // The texts of segments have the order in which the segments were.
        while self.numbers.len() > limits::POSITIONS_MAX {
            self.numbers.pop_first();
        }
    }

    /// A message has come.
    pub(super) fn message(&mut self, segment: Option<&str>, number: u64, id: &MessageId) -> Standing {
        let segment = segment.unwrap_or(&self.current).to_owned();
        let position = format!("{segment}.{number}");
        let last = self.numbers.entry(segment).or_insert(0);
        let skipped = number > *last + 1;
        if number <= *last {
            return Standing::Known;
        }
        *last = number;
        if self.recent.contains(id) {
            return Standing::Known;
        }
        if self.recent.len() == IDS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(id.clone());
        if skipped { Standing::Skipped(position) } else { Standing::Next(position) }
    }

    /// Numbers of a segment up to this one will never come.
    pub(super) fn gap(&mut self, segment: &str, to: u64) {
        let last = self.numbers.entry(segment.to_owned()).or_insert(0);
        *last = to.max(*last);
    }

    /// A segment has ended.
    pub(super) fn closed(&mut self, segment: &str) {
        if segment != self.current {
            self.numbers.remove(segment);
        }
    }

    /// The acknowledgement of all that was printed of a segment.
    pub(super) fn ack(&self, segment: Option<&str>) -> Option<String> {
        let number = self.numbers.get(segment.unwrap_or(&self.current))?;
        let segment = segment.map(|segment| format!(",\"segment\":\"{segment}\"")).unwrap_or_default();
        Some(format!("{{\"type\":\"ack\",\"n\":{number}{segment}}}"))
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions = self.numbers.iter().map(|(segment, number)| format!("{segment}.{number}"));
        f.write_str(&positions.collect::<Vec<_>>().join(","))
    }
}

/// Ids by which a message is recognised. Source: docs/PROTOCOL.md, what it asks of clients.
const IDS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MessageId {
        MessageId::new(text).unwrap()
    }

    fn next(position: &str) -> Standing {
        Standing::Next(position.to_owned())
    }

    #[test]
    fn each_message_is_printed_once_and_what_is_left_is_asked_for() {
        let mut positions = Positions::default();
        positions.welcome("a", 0, true);
        assert_eq!(positions.message(None, 1, &id("m1")), next("a.1"));
        assert_eq!(positions.message(None, 1, &id("m1")), Standing::Known);
        positions.welcome("b", 0, false);
        assert_eq!(positions.to_string(), "a.1,b.0");
        assert_eq!(positions.message(Some("a"), 2, &id("m2")), next("a.2"));
        assert_eq!(positions.ack(Some("a")).unwrap(), r#"{"type":"ack","n":2,"segment":"a"}"#);
        assert_eq!(positions.message(None, 1, &id("m2")), Standing::Known, "under another number");
        positions.gap("b", 3);
        assert_eq!(positions.message(None, 4, &id("m4")), next("b.4"));
        assert_eq!(positions.message(None, 6, &id("m6")), Standing::Skipped("b.6".to_owned()));
        assert_eq!(positions.ack(None).unwrap(), r#"{"type":"ack","n":6}"#);
        positions.closed("a");
        positions.closed("b");
        assert_eq!(positions.to_string(), "b.6", "the current one stays");
        for segment in ["c", "d", "e", "f"] {
            positions.welcome(segment, 0, false);
        }
        assert_eq!(positions.to_string(), "c.0,d.0,e.0,f.0");
        positions.welcome("g", 0, true);
        assert_eq!(positions.to_string(), "g.0");
    }
}
