//! The id by which one request is found in answers and logs.
//!
//! A caller may bring its own in `x-request-id`; what is not 1 to 64 printable ASCII characters is
//! replaced, never reflected. It is in the span of everything that is logged for the request, which is at
//! the level debug: at others nobody pays for a span.

use std::io::Write;

use axum::http::{HeaderName, HeaderValue};

use crate::wire::Entropy;

/// The caller's own id, if it is a good one, or else a new one.
pub(super) fn choose(brought: Option<&HeaderValue>, entropy: &Entropy) -> HeaderValue {
    let good = |value: &&HeaderValue| {
        (1..=BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    brought.filter(good).cloned().unwrap_or_else(|| {
        let mut digits = [0; 16];
        write!(&mut digits[..], "{:016x}", entropy.next_u64()).expect("all digits fit");
        HeaderValue::from_bytes(&digits).expect("hexadecimal digits are a valid header value")
    })
}

/// The header.
pub(super) const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// Guess: a UUID or a trace id with a prefix fits.
const BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_id_is_kept_and_a_bad_one_replaced() {
        let entropy = Entropy::new([1; 32]);
        let good = HeaderValue::from_static("trace-1");
        assert_eq!(choose(Some(&good), &entropy), good);
        let long = HeaderValue::from_str(&"x".repeat(BYTES_MAX + 1)).unwrap();
        let spaced = HeaderValue::from_static("a b");
        for bad in [None, Some(&long), Some(&spaced), Some(&HeaderValue::from_static(""))] {
            assert_eq!(choose(bad, &entropy).len(), 16);
        }
    }
}
