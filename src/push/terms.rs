//! What a publisher asks for beside the delivery of its message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the publisher of a message asks for beside its delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the message may wait for a client that is away, in seconds; 0: not at all. `None`: for as long as its session
    /// is kept.
    pub ttl: Option<u32>,
    /// How long the publisher waits.
    pub wait: Wait,
}

impl Terms {
    /// Whether the publisher waits until the client has acknowledged the message.
    pub(crate) fn waits_for_client(self) -> bool {
        self.wait == Wait::Acked
    }

    /// Whether the publisher waits until other nodes hold the message.
    pub(crate) fn waits_for_copies(self) -> bool {
        self.wait == Wait::Stored
    }

    /// Whether the publisher waits for more than that the owner has written it.
    pub(crate) fn waits(self) -> bool {
        self.wait != Wait::Receipt
    }
}

/// How long the publisher of a message waits for its report. What was not reached in time is not reported.
// The order is that of the wire (docs/PROTOCOL.md).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Until the owner of each session has answered.
    #[default]
    Receipt,
    /// Until other nodes hold the message in memory, or the client has acknowledged it.
    Stored,
    /// Until the client has acknowledged the message.
    Acked,
}

impl Wait {
    /// The word for it in flags and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Wait::Receipt => "receipt",
            Wait::Stored => "stored",
            Wait::Acked => "acked",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Wait {
    type Err = WaitError;

    /// Reads the word, as it stands in requests and in flags.
    ///
    /// # Errors
    /// [`WaitError`] says which words there are.
    fn from_str(text: &str) -> Result<Self, WaitError> {
        [Wait::Receipt, Wait::Stored, Wait::Acked]
            .into_iter()
            .find(|wait| wait.as_str() == text)
            .ok_or(WaitError)
    }
}

/// Why a text does not say how long a publisher waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a push waits for receipt, stored or acked")]
pub struct WaitError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_a_word_that_reads_back() {
        for (wait, word) in [(Wait::Receipt, "receipt"), (Wait::Stored, "stored"), (Wait::Acked, "acked")] {
            assert_eq!((wait.to_string().as_str(), word.parse()), (word, Ok(wait)));
            assert!(WaitError.to_string().contains(word));
        }
        for text in ["", "none", "Acked", " acked", "\"acked\""] {
            assert_eq!(text.parse::<Wait>(), Err(WaitError), "{text:?}");
        }
    }
}
