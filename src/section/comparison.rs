//! What two nodes make of each other's digests. Pure: no link, no member, no task.
//!
//! One asks with the digests of all that it would serve, the other answers with the [`news`], and then
//! each of them makes a [`Finding`] of each digest that it was told.

use std::collections::BTreeMap;

use crate::id::NodeName;
use crate::section::Digest;

/// Digests by owner.
pub type Digests = BTreeMap<NodeName, Digest>;

/// What one digest of a peer says about the copy here. This node's own section is never asked about:
/// nobody knows it better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// There is nothing to do: the owner's stream brings what is new.
    Nothing,
    /// The copy here is wrong, or the peer's is. Only the owner knows which: it is pulled from there.
    Wrong,
    /// The copy here is known to be wrong, and the peer is the owner: it is pulled, because the owner may
    /// be quiet for long.
    Mend,
    /// The peer holds something newer of a third node. It is pulled if that node is not reached.
    Newer,
}

/// What the answer to `theirs` holds: what they lack, have at an older position, have otherwise at the
/// same one, or have further on than its holder here within the same boot.
#[must_use]
pub fn news(ours: &Digests, theirs: &Digests) -> Vec<(NodeName, Digest)> {
    let news = ours.iter().filter(|(owner, held)| {
        theirs.get(*owner).is_none_or(|theirs| theirs.position < held.position || theirs.contradicts(held))
    });
    news.map(|(owner, digest)| (owner.clone(), *digest)).collect()
}

impl Finding {
    /// Compares what is `held` here with a peer's digest. `direct`: the peer is the owner. `answered`: it
    /// answers a question that told what is held; without that, being ahead of what the owner said a
    /// moment ago is no wonder. `distrusted`: the copy here is known to be wrong.
    #[must_use]
    pub fn of(
        held: Option<&Digest>,
        theirs: &Digest,
        direct: bool,
        answered: bool,
        distrusted: bool,
    ) -> Self {
        let differs = |held: &Digest| held.position == theirs.position && held.hash != theirs.hash;
        if held.is_some_and(|held| differs(held) || direct && answered && held.contradicts(theirs)) {
            return Self::Wrong;
        }
        if direct {
            return if distrusted { Self::Mend } else { Self::Nothing };
        }
        let newer = held.is_none_or(|held| held.position < theirs.position);
        if newer { Self::Newer } else { Self::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::section::Position;

    fn digest(version: u64, hash: u64) -> Digest {
        Digest { position: Position { incarnation: Incarnation(1), version }, hash }
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    #[test]
    fn an_answer_holds_what_is_newer_what_differs_and_what_they_can_not_have() {
        let ours = ["lacks", "older", "same", "differs", "ahead"];
        let ours: Digests = ours.into_iter().map(|owner| (name(owner), digest(5, 7))).collect();
        let theirs = [
            ("older", digest(4, 0)),
            ("same", digest(5, 7)),
            ("differs", digest(5, 8)),
            ("ahead", digest(6, 0)),
            ("unknown here", digest(1, 1)),
        ];
        let theirs = theirs.map(|(owner, digest)| (name(&owner.replace(' ', "-")), digest)).into();
        let told: Vec<_> = news(&ours, &theirs).into_iter().map(|(owner, _)| owner.to_string()).collect();
        assert_eq!(told, ["ahead", "differs", "lacks", "older"]);
    }

    #[test]
    fn only_the_answer_of_the_owner_makes_a_copy_that_is_ahead_wrong() {
        let (held, theirs) = (digest(6, 7), digest(5, 8));
        let of = |direct, answered| Finding::of(Some(&held), &theirs, direct, answered, false);
        assert_eq!(of(true, true), Finding::Wrong);
        assert_eq!([of(true, false), of(false, true), of(false, false)], [Finding::Nothing; 3]);
    }

    #[test]
    fn another_hash_at_the_same_position_is_wrong_whoever_says_it() {
        for (direct, answered) in [(true, true), (true, false), (false, true), (false, false)] {
            let found = Finding::of(Some(&digest(5, 7)), &digest(5, 8), direct, answered, false);
            assert_eq!(found, Finding::Wrong);
        }
    }

    #[test]
    fn what_is_newer_is_taken_from_third_nodes_and_what_is_wrong_from_the_owner() {
        let theirs = digest(5, 7);
        assert_eq!(Finding::of(None, &theirs, false, true, true), Finding::Newer);
        assert_eq!(Finding::of(Some(&digest(4, 0)), &theirs, false, false, false), Finding::Newer);
        assert_eq!(Finding::of(Some(&theirs), &theirs, false, false, false), Finding::Nothing);
        assert_eq!(Finding::of(None, &theirs, true, true, true), Finding::Mend);
        assert_eq!(Finding::of(Some(&digest(4, 0)), &theirs, true, true, false), Finding::Nothing);
    }
}
