//! How many rows of this node's own each part of a table has: a count for a block of rows.
//!
//! A count follows a row that moves into another block by an addition and a subtraction. Whether a block still has one
//! needs no look at its rows, which may be in no cache.

/// The blocks of a table: their counts, four bits each, the lowest first.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<u64>);

impl Blocks {
    /// Rows of a block: 320 bytes, so that at most five lines of the cache are looked at for each own row.
    pub(super) const ROWS: usize = 8;

    /// The block of the row at this index.
    pub(super) fn of(index: usize) -> usize {
        index / Self::ROWS
    }

    /// No block has an own row any more, and there is room for so many rows.
    pub(super) fn reset(&mut self, rows: usize) {
        self.0.clear();
        self.0.shrink_to(0);
        self.0.resize(rows.div_ceil(Self::ROWS).div_ceil(COUNTS), 0);
    }

    /// The block has one own row more.
    pub(super) fn add(&mut self, block: usize) {
        let (word, shift) = place(block);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] += 1 << shift;
    }

    /// The block has one own row less.
    pub(super) fn take(&mut self, block: usize) {
        debug_assert!(self.count(block) > 0, "what leaves a block was there");
        let (word, shift) = place(block);
        self.0[word] -= 1 << shift;
    }

    /// How many own rows the block has.
    pub(super) fn count(&self, block: usize) -> usize {
        let (word, shift) = place(block);
        self.0.get(word).map_or(0, |counts| (counts >> shift & COUNT_MAX) as usize)
    }

    /// The blocks with own rows from `first` on, in order.
    pub(super) fn with_own(&self, first: usize) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate().skip(first / COUNTS);
        words
            .flat_map(|(word, counts)| Counted(*counts).map(move |count| word * COUNTS + count))
            .filter(move |block| *block >= first)
    }
}

/// The word of a block's count, and where the count is in the word.
fn place(block: usize) -> (usize, usize) {
    (block / COUNTS, block % COUNTS * COUNT_BITS)
}

/// The counts of a word that are not zero.
struct Counted(u64);

impl Iterator for Counted {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let first = (self.0 != 0).then(|| self.0.trailing_zeros() as usize / COUNT_BITS)?;
        self.0 &= !(COUNT_MAX << (first * COUNT_BITS));
        Some(first)
    }
}

const COUNT_BITS: usize = 4;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Counts of a word.
const COUNTS: usize = u64::BITS as usize / COUNT_BITS;

// While a row moves it may be counted in both of its blocks.
const _: () = assert!(Blocks::ROWS < COUNT_MAX as usize, "the rows of a block can be counted");
