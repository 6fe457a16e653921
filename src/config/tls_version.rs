//! Versions of TLS that clients and backends may speak.

use std::str::FromStr;

/// A version of TLS. Older ones than these are broken, and nobody here speaks them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, for devices that cannot be updated.
    V1_2,
    /// TLS 1.3.
    #[default]
    V1_3,
}

impl FromStr for TlsVersion {
    type Err = TlsVersionError;

    /// Reads `1.2` or `1.3`; white space around it does not count.
    ///
    /// # Errors
    /// [`TlsVersionError`] says which versions there are.
    fn from_str(text: &str) -> Result<Self, TlsVersionError> {
        match text.trim() {
            "1.2" => Ok(TlsVersion::V1_2),
            "1.3" => Ok(TlsVersion::V1_3),
            _ => Err(TlsVersionError),
        }
    }
}

/// Why a text is not a version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the oldest version of TLS that is accepted is 1.2 or 1.3")]
pub struct TlsVersionError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_by_its_number_and_broken_ones_are_none() {
        assert_eq!("1.2".parse(), Ok(TlsVersion::V1_2));
        assert_eq!(" 1.3\n".parse(), Ok(TlsVersion::V1_3));
        for none in ["", "1", "1.1", "1.4", "tls1.2", "1.20"] {
            assert_eq!(none.parse::<TlsVersion>(), Err(TlsVersionError), "{none}");
        }
    }
}
