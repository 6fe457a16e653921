//! The earlier segments of a session of which nothing is missing here.

use crate::limits;
use crate::position::Segment;

/// The earlier segments of a session of which nothing is missing here, in their order: all that their owners owed was handed
/// over, or acknowledged before. It goes from owner to owner with what they hand over; of a long line of owners the oldest are
/// forgotten.
#[derive(Debug, Default)]
pub(super) struct Inherited(Box<[Segment]>);

impl Inherited {
    /// Whether nothing of that segment is missing.
    pub(super) fn has(&self, segment: Segment) -> bool {
        self.0.binary_search(&segment).is_ok()
    }

    /// All of them.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Nothing of these is missing either. Returns those of which that is news.
    pub(super) fn add(&mut self, segments: impl IntoIterator<Item = Segment>) -> Vec<Segment> {
        let mut new: Vec<_> = segments.into_iter().filter(|segment| !self.has(*segment)).collect();
        new.sort_unstable();
        new.dedup();
        if !new.is_empty() {
            let mut all = [&*self.0, &*new].concat();
            all.sort_unstable();
            let forgotten = all.len().saturating_sub(limits::SEGMENTS_INHERITED_MAX);
            self.0 = all.split_off(forgotten).into();
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Stamp;
    use crate::position::Writer;

    fn segments(stamps: impl IntoIterator<Item = u64>) -> Vec<Segment> {
        let segment = |stamp| Segment { stamp: Stamp::from_raw(stamp), writer: Writer::from_raw(1) };
        stamps.into_iter().map(segment).collect()
    }

    #[test]
    fn the_latest_segments_are_known_each_once() {
        let mut inherited = Inherited::default();
        assert_eq!(inherited.add(segments([7, 5, 7])), segments([5, 7]));
        assert_eq!(inherited.add(segments([5, 6])), segments([6]));
        assert_eq!(inherited.segments(), segments([5, 6, 7]));
        let most = limits::SEGMENTS_INHERITED_MAX as u64;
        inherited.add(segments(8..=most + 5));
        assert_eq!(inherited.segments(), segments(6..=most + 5));
        assert!(!inherited.has(segments([5])[0]) && inherited.has(segments([6])[0]));
    }
}
