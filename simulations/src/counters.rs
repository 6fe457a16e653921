//! The counters of a node, read from its metrics.

use std::collections::BTreeMap;

/// The counters in Prometheus' text format, by name and labels. They are whole numbers; what is not one
/// is not here.
pub(crate) fn counters(metrics: &str) -> BTreeMap<&str, u64> {
    let samples = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_from_comments_and_by_their_labels() {
        let metrics = "# TYPE a_total counter\na_total 3\nb_total{from=\"x\"} 4\nb_total{from=\"y\"} 0\nc_seconds 0.5\n";
        let expected = [("a_total", 3), ("b_total{from=\"x\"}", 4), ("b_total{from=\"y\"}", 0)];
        assert_eq!(counters(metrics), expected.into());
    }
}
