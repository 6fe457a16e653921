//! Durations as people write them: `500ms`, `10s`, `2m`, `1h`, `30d`.
//!
//! One whole number and one unit. No fractions and no sums: a flag that needs them is a flag that
//! somebody will misread.

use std::time::Duration;

use crate::limits;

/// Reads one duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(SYNTAX.to_owned()),
    };
    if number.is_empty() {
        return Err(SYNTAX.to_owned());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .filter(|ms| *ms <= MAX_MS)
        .map(Duration::from_millis)
        .ok_or_else(|| "a duration is at most 36500d (a hundred years)".to_owned())
}

/// Writes a duration in the largest unit that keeps it whole; the inverse of [`parse`].
pub(super) fn show(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms == 0 || ms % 1_000 != 0 => format!("{ms}ms"),
        ms if ms % 60_000 != 0 => format!("{}s", ms / 1_000),
        ms if ms % 3_600_000 != 0 => format!("{}m", ms / 60_000),
        ms if ms % 86_400_000 != 0 => format!("{}h", ms / 3_600_000),
        ms => format!("{}d", ms / 86_400_000),
    }
}

const SYNTAX: &str = "a duration is a whole number with a unit: 500ms, 10s, 2m, 1h or 30d";

/// A hundred years, in milliseconds: that of the longest of all flags, which have their own bounds.
const MAX_MS: u64 = limits::TOKEN_LIFETIME_CEILING.as_secs() * 1_000;
