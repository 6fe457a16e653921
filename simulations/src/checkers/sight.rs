//! What a node has seen of the others' sections: where its copies stood before a millisecond and after it.
//!
//! Between the two nothing can be told apart: what a copy shows at either position, or passes, may be what the node saw
//! when it decided something in that millisecond. That is the one step of observation that exact checks allow.

use pushmesh::NodeName;
use pushmesh::internals::{Digest, Position};

use crate::checkers::claims::Claim;

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

    /// Whether the node may have seen a claim: at no time its copy of that section had passed the end of the claim already,
    /// or had not reached its begin yet. Where a copy is not known to be exact, nothing is known of what it shows.
    pub(super) fn may_show(&self, claim: &Claim) -> bool {
        let (owner, incarnation) = &claim.boot;
        let at = |heads: &[(NodeName, Digest)]| {
            let head = heads.iter().find(|(name, _)| name == owner);
            head.map(|(_, digest)| digest.position)
        };
        let is_past = |at: Position| match at.incarnation.0 {
            boot if boot == *incarnation => {
                claim.end.is_some_and(|end| end.version.is_some_and(|version| version <= at.version))
            }
            boot => boot > *incarnation,
        };
        let is_before = |at: Position| {
            at.incarnation.0 < *incarnation || at.incarnation.0 == *incarnation && at.version < claim.version
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
            let head = |node| (crate::checkers::claims::name_of(node), Digest { position, hash: 0 });
            (0..9).map(head).collect()
        };
        Self { before: heads(before), after: Some(heads(after)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::claims::End;

    #[test]
    fn a_claim_is_seen_from_its_begin_until_its_end_and_in_the_step_of_either() {
        let mut claim = Claim::made(1, 5, 10, None);
        claim.version = 4;
        let seen = |claim: &Claim, before, after| Sight::of(before, after).may_show(claim);
        assert!(!seen(&claim, 2, 3) && seen(&claim, 3, 4) && seen(&claim, 7, 7));
        claim.end = Some(End { at_ms: 20, version: Some(6) });
        assert!(seen(&claim, 5, 5) && seen(&claim, 5, 6) && seen(&claim, 3, 9) && !seen(&claim, 6, 6));
        claim.end = Some(End { at_ms: 20, version: None });
        assert!(seen(&claim, 9, 9), "nobody has told of it");
        claim.boot.1 = 0;
        assert!(!seen(&claim, 1, 1), "the next boot is known");
        claim.boot.1 = 2;
        assert!(!seen(&claim, 9, 9), "its boot is not known yet");
    }

    #[test]
    fn of_a_boot_that_is_gone_and_of_a_copy_that_is_not_exact_nothing_is_known() {
        let claim = Claim::made(1, 5, 10, Some(End { at_ms: 20, version: Some(6) }));
        let mut sight = Sight::of(3, 5);
        sight.moved(None);
        assert!(sight.may_show(&claim));
        let mut sight = Sight::of(3, 6);
        sight.moved(None);
        assert!(!sight.may_show(&claim));
        assert!(Sight::default().may_show(&claim));
    }
}
