//! Room in a map of what clients did lately: nobody is remembered for whom that is over.

use std::collections::HashMap;
use std::hash::Hash;

/// Whether there is room for `key` among at most so many. Those that are over are forgotten only where there is none.
pub(super) fn has_room<K: Eq + Hash, V>(
    remembered: &mut HashMap<K, V>,
    key: &K,
    most: usize,
    is_over: impl Fn(&V) -> bool,
) -> bool {
    if remembered.len() >= most && !remembered.contains_key(key) {
        remembered.retain(|_, value| !is_over(value));
    }
    remembered.len() < most || remembered.contains_key(key)
}
