//! What a node has seen of the others' sections: where its copies stood before a millisecond and after it.
//!
//! Between the two nothing can be told apart: what a copy shows at either position, or passes, may be what the node saw
//! when it decided something in that millisecond. That is the one step of observation that exact checks allow.

use pushmesh::NodeName;
use pushmesh::internals::{Digest, Position};

/// Where something stands in the section of a boot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Whose section.
    pub(super) owner: &'a NodeName,
    /// Of which boot.
    pub(super) incarnation: u64,
    /// The first position that has it.
    pub(super) begin: u64,
    /// The first position that has it no more, if there is one.
    pub(super) end: Option<u64>,
}

/// Where the copies of a boot stood.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight {
    before: Vec<(NodeName, Digest)>,
    /// `None`: the boot was gone by the end of the millisecond.
    after: Option<Vec<(NodeName, Digest)>>,
}

impl Sight {
    /// A millisecond has passed, and the copies stand there now.
    pub(super) fn moved(&mut self, after: Option<Vec<(NodeName, Digest)>>) {
        self.before = self.after.take().unwrap_or_default();
        self.after = after;
    }

    /// Whether the node may have seen what stands there: its copy of that section had not passed the end already, and had
    /// reached the begin. Where a copy is not known to be exact, nothing is known of what it shows.
    pub(super) fn may_show(&self, place: Place<'_>) -> bool {
        let Place { owner, incarnation, begin, end } = place;
        let at = |heads: &[(NodeName, Digest)]| {
            let head = heads.iter().find(|(name, _)| name == owner);
            head.map(|(_, digest)| digest.position)
        };
        let is_past = |at: Position| match at.incarnation.0 {
            boot if boot == incarnation => end.is_some_and(|end| end <= at.version),
            boot => boot > incarnation,
        };
        let is_before = |at: Position| {
            at.incarnation.0 < incarnation || at.incarnation.0 == incarnation && at.version < begin
        };
        let (before, after) = (at(&self.before), self.after.as_deref().and_then(at));
        !before.is_some_and(is_past) && !after.is_some_and(is_before)
    }
}

#[cfg(test)]
impl Sight {
    /// Of all nodes, whose copies stand at that version of each first boot before, and at the other one after.
    pub(super) fn of(before: u64, after: u64) -> Self {
        let heads = |version| {
            let position = Position { incarnation: pushmesh::id::Incarnation(1), version };
            let head = |node| (name_of(node), Digest { position, hash: 0 });
            (0..9).map(head).collect()
        };
        Self { before: heads(before), after: Some(heads(after)) }
    }
}

/// The name of a node.
#[cfg(test)]
pub(super) fn name_of(node: crate::id::NodeIndex) -> NodeName {
    NodeName::new(crate::id::node_name(node)).expect("it is a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sight: &Sight, incarnation: u64, begin: u64, end: Option<u64>) -> bool {
        sight.may_show(Place { owner: &name_of(1), incarnation, begin, end })
    }

    #[test]
    fn a_claim_is_seen_from_its_begin_until_its_end_and_in_the_step_of_either() {
        let from_4 = |before, after| seen(&Sight::of(before, after), 1, 4, None);
        assert!(!from_4(2, 3) && from_4(3, 4) && from_4(7, 7));
        let until_6 = |before, after| seen(&Sight::of(before, after), 1, 4, Some(6));
        assert!(until_6(5, 5) && until_6(5, 6) && until_6(3, 9) && !until_6(6, 6));
        assert!(!seen(&Sight::of(1, 1), 0, 4, None), "the next boot is known");
        assert!(!seen(&Sight::of(9, 9), 2, 4, None), "its boot is not known yet");
    }

    #[test]
    fn of_a_boot_that_is_gone_and_of_a_copy_that_is_not_exact_nothing_is_known() {
        let gone = |before, after| {
            let mut sight = Sight::of(before, after);
            sight.moved(None);
            seen(&sight, 1, 0, Some(6))
        };
        assert!(gone(3, 5) && !gone(3, 6));
        assert!(seen(&Sight::default(), 1, 0, Some(6)));
    }
}
