//! The takeover policy: which sessions of one user exclude each other, and which of them stays.
//!
//! Its text is the same in a flag, in the file, in the log and in what nodes tell each other:
//! reading it back gives the same policy. What follows from a policy is decided elsewhere, at the
//! door of the gateway and in the directory.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// Which sessions of one user exclude each other, and which of them stays. The same user and device
/// never have two sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Takeover {
    /// The next connection of a device replaces the one before; other devices are not touched.
    #[default]
    ExclusiveDevice,
    /// The next connection of a user, whatever its device, replaces the one before.
    OnePerUser,
    /// A device that is connected stays: its next connection is refused until then.
    RejectNewer,
    /// As [`Takeover::ExclusiveDevice`], and of a user's sessions only so many newest stay.
    MaxPerUser(usize),
}

impl Takeover {
    /// How many sessions it leaves to a user, if it says so.
    #[must_use]
    pub fn sessions_max(self) -> Option<usize> {
        match self {
            Takeover::OnePerUser => Some(1),
            Takeover::MaxPerUser(max) => Some(max),
            Takeover::ExclusiveDevice | Takeover::RejectNewer => None,
        }
    }
}

impl fmt::Display for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Takeover::ExclusiveDevice => f.write_str(EXCLUSIVE_DEVICE),
            Takeover::OnePerUser => f.write_str(ONE_PER_USER),
            Takeover::RejectNewer => f.write_str(REJECT_NEWER),
            Takeover::MaxPerUser(sessions) => write!(f, "{MAX_PER_USER}{sessions}"),
        }
    }
}

impl FromStr for Takeover {
    type Err = TakeoverError;

    /// Reads what [`Display`](fmt::Display) writes; white space around it does not count.
    ///
    /// # Errors
    /// [`TakeoverError`] says which texts there are.
    fn from_str(text: &str) -> Result<Self, TakeoverError> {
        let text = text.trim();
        match text {
            EXCLUSIVE_DEVICE => return Ok(Takeover::ExclusiveDevice),
            ONE_PER_USER => return Ok(Takeover::OnePerUser),
            REJECT_NEWER => return Ok(Takeover::RejectNewer),
            _ => {}
        }
        let count = text.strip_prefix(MAX_PER_USER).ok_or(TakeoverError::Policy)?;
        // Digits only: `parse` alone would read a sign, and then the text is not the one of the policy.
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        match count.parse() {
            Ok(sessions @ 1..=limits::SESSIONS_PER_USER_CEILING) if digits => {
                Ok(Takeover::MaxPerUser(sessions))
            }
            _ => Err(TakeoverError::Sessions),
        }
    }
}

/// Why a text is not a takeover policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeoverError {
    /// It names none.
    #[error("the policies are exclusive-device, one-per-user, reject-newer and max-per-user=N")]
    Policy,
    /// The number of sessions is not one, or out of range.
    #[error("the N of max-per-user=N is a whole number from 1 to {}", limits::SESSIONS_PER_USER_CEILING)]
    Sessions,
}

const EXCLUSIVE_DEVICE: &str = "exclusive-device";
const ONE_PER_USER: &str = "one-per-user";
const REJECT_NEWER: &str = "reject-newer";

/// The number of sessions follows.
const MAX_PER_USER: &str = "max-per-user=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_has_a_text_that_reads_back() {
        let policies = [
            (Takeover::ExclusiveDevice, "exclusive-device"),
            (Takeover::OnePerUser, "one-per-user"),
            (Takeover::RejectNewer, "reject-newer"),
            (Takeover::MaxPerUser(1), "max-per-user=1"),
            (Takeover::MaxPerUser(limits::SESSIONS_PER_USER_CEILING), "max-per-user=1000"),
        ];
        for (policy, text) in policies {
            assert_eq!(policy.to_string(), text);
            assert_eq!(text.parse(), Ok(policy));
            assert_eq!(format!(" {text}\n").parse(), Ok(policy));
        }
    }

    #[test]
    fn a_text_that_names_no_policy_is_told_which_there_are() {
        for text in ["", "exclusive", "Exclusive-Device", "max-per-user", "max-per-user 3", "one-per-user=1"]
        {
            assert_eq!(text.parse::<Takeover>(), Err(TakeoverError::Policy), "{text}");
        }
        assert!(TakeoverError::Policy.to_string().contains("max-per-user=N"));
    }

    #[test]
    fn a_number_of_sessions_out_of_range_is_told_the_range() {
        for count in ["", "0", "1001", "-1", "+3", "3.0", "x", "99999999999999999999999"] {
            let text = format!("max-per-user={count}");
            assert_eq!(text.parse::<Takeover>(), Err(TakeoverError::Sessions), "{text}");
        }
        assert!(TakeoverError::Sessions.to_string().contains("from 1 to 1000"));
    }
}
