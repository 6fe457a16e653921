//! What becomes of many measurements in a table.

/// The value below which `share` of the measurements lie, by nearest rank; 0 when there are none.
/// They have to be sorted.
pub(crate) fn percentile(sorted: &[u32], share: f64) -> u32 {
    debug_assert!(sorted.is_sorted(), "a rank means nothing otherwise");
    let rank = (sorted.len() as f64 * share) as usize;
    sorted.get(rank.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}
