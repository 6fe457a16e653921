//! What a section says, claim by claim: equal positions and equal hashes are what the product goes by,
//! and a checker must not believe them.

use std::hash::{Hash, Hasher};

use pushmesh::NodeName;
use pushmesh::internals::Entry;
use siphasher::sip::SipHasher13;

use crate::host::Boot;

/// Whether a copy holds the very claims that its owner holds. Both have to stand at one position.
///
/// # Errors
/// How they differ.
pub(super) fn same(owner: &Boot, holder: &Boot) -> Result<(), String> {
    let (name, who) = (owner.replica.me(), holder.replica.me());
    let of = |boot: &Boot| boot.replica.chunk(name, None, usize::MAX).unwrap_or_default();
    equal(&of(owner), &of(holder)).map_err(|what| format!("{who} copies {name}, and {what}"))
}

/// A hash of all claims of a section that a node holds. It shares nothing with the product's.
pub(super) fn hash(holder: &Boot, owner: &NodeName) -> u64 {
    hashed(holder.replica.chunk(owner, None, usize::MAX).unwrap_or_default())
}

fn hashed(mut entries: Vec<Entry>) -> u64 {
    entries.sort_unstable_by_key(|entry| entry.key);
    let mut hasher = SipHasher13::new();
    for Entry { key, claim } in entries {
        (key, claim.stamp.raw(), claim.state as u8).hash(&mut hasher);
    }
    hasher.finish()
}

fn equal(owned: &[Entry], copied: &[Entry]) -> Result<(), String> {
    let missing = owned.iter().find(|entry| !copied.contains(entry));
    let surplus = copied.iter().find(|entry| !owned.contains(entry));
    match (missing, surplus) {
        (Some(entry), _) => Err(format!("lacks {entry:?}")),
        (None, Some(entry)) => Err(format!("has {entry:?} besides")),
        (None, None) if owned.len() != copied.len() => Err("has something twice".to_owned()),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pushmesh::id::Stamp;
    use pushmesh::internals::{Claim, ClaimState, DeviceHash, Key, UserHash};

    use super::*;

    fn entry(device: u64, stamp: u64) -> Entry {
        let key = Key { user: UserHash { high: 1, low: 2 }, device: DeviceHash(device) };
        Entry { key, claim: Claim { stamp: Stamp::from_raw(stamp), state: ClaimState::Connected } }
    }

    #[test]
    fn a_copy_that_lacks_a_claim_or_has_another_one_is_found() {
        let owned = [entry(1, 5), entry(2, 6)];
        assert_eq!(equal(&owned, &owned), Ok(()));
        assert_eq!(hashed(owned.to_vec()), hashed(vec![owned[1], owned[0]]));
        for copied in [&owned[..1], &[entry(1, 5), entry(2, 7)], &[entry(1, 5), entry(2, 6), entry(3, 7)]] {
            assert!(equal(&owned, copied).is_err(), "{copied:?}");
            assert_ne!(hashed(owned.to_vec()), hashed(copied.to_vec()), "{copied:?}");
        }
    }
}
