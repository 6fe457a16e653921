//! Versions of the mesh protocol: the newest one, and the one before it.
//!
//! A build speaks both, so that a cluster is upgraded node by node. docs/PROTOCOL.md says what a version may change.

use std::fmt;
use std::str::FromStr;

/// What crosses a link between two nodes. On each link it is the newest version that both ends know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MeshVersion {
    /// Hellos without features.
    V4 = 4,
    /// Hellos with features.
    #[default]
    V5 = 5,
}

impl MeshVersion {
    /// The versions that a node speaks whose newest is this one, the newest first.
    pub fn spoken(self) -> impl Iterator<Item = Self> {
        [Self::V5, Self::V4].into_iter().filter(move |version| *version <= self)
    }

    /// Its number, as it stands on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for MeshVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl FromStr for MeshVersion {
    type Err = MeshVersionError;

    /// Reads a number; white space around it does not count.
    ///
    /// # Errors
    /// [`MeshVersionError`] says which versions there are.
    fn from_str(text: &str) -> Result<Self, MeshVersionError> {
        Self::default().spoken().find(|version| version.to_string() == text.trim()).ok_or(MeshVersionError)
    }
}

/// Why a text is not a version of the mesh protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this build speaks the versions 5 and 4 of the mesh protocol")]
pub struct MeshVersionError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_reads_back_and_speaks_the_one_before() {
        let newest = MeshVersion::default();
        assert_eq!(newest.spoken().collect::<Vec<_>>(), [MeshVersion::V5, MeshVersion::V4]);
        assert_eq!(MeshVersion::V4.spoken().collect::<Vec<_>>(), [MeshVersion::V4]);
        for version in newest.spoken() {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for text in ["3", "6", "", "five", "05"] {
            assert_eq!(text.parse::<MeshVersion>(), Err(MeshVersionError), "{text:?}");
        }
        let named: Vec<_> = newest.spoken().map(|version| version.to_string()).collect();
        assert!(MeshVersionError.to_string().contains(&named.join(" and ")));
    }
}
