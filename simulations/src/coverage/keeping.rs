//! What was met at sessions that are kept.

use std::collections::BTreeSet;

use crate::decision::{Decision, HandedOver};
use crate::event::Event;
use crate::event::kept::{Kept, Resumed, Shows};
use crate::id::{NodeIndex, node_of};

/// Which nodes stop: what they hand over is the work of a drain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeepingCases {
    stopping: BTreeSet<NodeIndex>,
}

impl KeepingCases {
    /// Something happened; the case that it is.
    pub(super) fn event(&mut self, event: &Event) -> Option<&'static str> {
        match event {
            Event::Stopping { node } => _ = self.stopping.insert(*node),
            Event::Stopped { node } | Event::Crashed { node } | Event::Booted { node, .. } => {
                self.stopping.remove(node);
            }
            Event::Decided { by, decision: Decision::HandedOver(handed) } => {
                let stops = node_of(by.as_str()).is_some_and(|node| self.stopping.contains(&node));
                return tail(handed, stops);
            }
            Event::Decided { decision: Decision::KeptOn { kept, .. }, .. } => {
                return Some(if *kept {
                    KEPT_ON
                } else {
                    "kept: a session is elsewhere or over whose owner is gone"
                });
            }
            Event::Kept { what, .. } => return told(what),
            _ => {}
        }
        None
    }
}

const KEPT_ON: &str = "kept: a session is kept on whose owner is gone";

fn tail(handed: &HandedOver, stops: bool) -> Option<&'static str> {
    match (handed.messages, handed.taken, handed.relayed, stops) {
        (0, ..) => None,
        (_, false, ..) => Some("kept: a tail finds nobody"),
        (_, _, true, _) => Some("kept: a tail goes over a third node"),
        (_, _, _, true) => Some("kept: a tail goes from a node that stops"),
        (_, _, _, false) => Some("kept: a tail goes to the next owner"),
    }
}

fn told(what: &Kept) -> Option<&'static str> {
    match what {
        Kept::Shown { shows, .. } => match shows {
            Shows::All => None,
            Shows::Older => Some("kept: a client shows old positions"),
            Shows::Nothing => Some("kept: a client shows no positions"),
            Shows::Forged => Some("kept: a client shows a forged position"),
            Shows::Half => Some("kept: a client shows half of a position"),
        },
        Kept::Welcomed { resumed, .. } => Some(match resumed {
            Resumed::Complete => "kept: welcomed as complete",
            Resumed::Pending => "kept: welcomed as pending",
            Resumed::Partial => "kept: welcomed as partial",
            Resumed::None => "kept: welcomed as none",
        }),
        Kept::Resumed { resumed: Resumed::Complete, .. } => Some("kept: complete after all"),
        Kept::Resumed { resumed: Resumed::Partial, .. } => Some("kept: partial, after waiting"),
        Kept::Received { taken: false, .. } => Some("kept: a message comes again"),
        Kept::Gap { why, .. } if why == "expired" => Some("kept: a gap of what expired"),
        Kept::Gap { .. } => Some("kept: a gap of what was acknowledged"),
        Kept::Closed(_) => Some("kept: a segment is closed"),
        Kept::AheadRefused => Some("kept: an acknowledgement of what was not sent"),
        Kept::Bye => Some("kept: a client goes for good"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use pushmesh::NodeName;

    use super::*;

    #[test]
    fn a_tail_is_told_by_its_way() {
        let mut cases = KeepingCases::default();
        let name = |text| NodeName::new(text).unwrap();
        let event = |messages, relayed, taken| {
            let handed = HandedOver { client: 0, stamp: 7, to: name("n2"), relayed, messages, taken };
            Event::Decided { by: name("n1"), decision: Decision::HandedOver(handed) }
        };
        assert_eq!(cases.event(&event(0, false, true)), None);
        assert_eq!(cases.event(&event(1, false, false)), Some("kept: a tail finds nobody"));
        assert_eq!(cases.event(&event(1, true, true)), Some("kept: a tail goes over a third node"));
        assert_eq!(cases.event(&event(1, false, true)), Some("kept: a tail goes to the next owner"));
        cases.event(&Event::Stopping { node: 0 });
        assert_eq!(cases.event(&event(1, false, true)), Some("kept: a tail goes from a node that stops"));
    }
}
