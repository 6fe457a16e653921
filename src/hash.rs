//! A hash that is the same on every node, in every process and in every version.
//!
//! FNV-1a (Fowler, Noll, Vo), 64 bits, written out because the hashers of the standard library
//! promise none of that. It spreads keys over shards, lanes and the ring, and is part of the hash of
//! a section. It guards against our own mistakes, not against an attacker.

/// FNV-1a over `bytes`.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    extend(OFFSET, bytes)
}

/// Goes on from `hash`, as if `bytes` had followed what it was made of.
pub(crate) fn extend(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Spreads what differs in a few bits over all bits: the finaliser of SplitMix64 (Steele, Lea,
/// Flood 2014). FNV alone leaves texts that differ in their last character close to each other.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One of `buckets` for this text.
///
/// # Panics
/// Without buckets.
pub(crate) fn bucket(text: &str, buckets: usize) -> usize {
    assert!(buckets > 0, "there is something to choose from");
    mix(fnv1a(text.as_bytes())) as usize % buckets
}

/// Source: the FNV specification, 64-bit offset basis.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// Source: the FNV specification, 64-bit prime.
const PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_specification_hold() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(extend(fnv1a(b"foo"), b"bar"), fnv1a(b"foobar"));
    }

    #[test]
    fn numbered_users_spread_over_all_buckets() {
        for buckets in [4, 64] {
            let mut counts = vec![0; buckets];
            for user in 0..buckets * 100 {
                counts[bucket(&format!("u{user}"), buckets)] += 1;
            }
            assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        }
    }
}
