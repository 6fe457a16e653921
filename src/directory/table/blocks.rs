//! Which parts of a table have something of this node's own: one bit for a block of rows.

/// The blocks of a table.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<u64>);

impl Blocks {
    /// Rows of a block: 320 bytes, so that at most five lines of the cache are looked at for each own row.
    pub(super) const ROWS: usize = 8;

    /// The block of the row at this index.
    pub(super) fn of(index: usize) -> usize {
        index / Self::ROWS
    }

    /// All bits are cleared, and there is room for so many rows.
    pub(super) fn reset(&mut self, rows: usize) {
        self.0.clear();
        self.0.shrink_to(0);
        self.0.resize(rows.div_ceil(Self::ROWS).div_ceil(BITS), 0);
    }

    /// Says whether the block has an own row.
    pub(super) fn set(&mut self, block: usize, has_own: bool) {
        let (word, bit) = (block / BITS, 1 << (block % BITS));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if has_own { self.0[word] |= bit } else { self.0[word] &= !bit }
    }

    /// Whether the block has an own row.
    #[cfg(test)]
    pub(super) fn has_own(&self, block: usize) -> bool {
        self.0.get(block / BITS).is_some_and(|word| word & (1 << (block % BITS)) != 0)
    }

    /// The blocks with own rows from `first` on, in order.
    pub(super) fn with_own(&self, first: usize) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate().skip(first / BITS);
        words
            .flat_map(|(word, bits)| Ones(*bits).map(move |bit| word * BITS + bit))
            .filter(move |block| *block >= first)
    }
}

/// The bits of a word that are set.
struct Ones(u64);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(lowest)
    }
}

const BITS: usize = u64::BITS as usize;
