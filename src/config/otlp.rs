//! Where traces of pushes go, and of how many.

use std::fmt;
use std::str::FromStr;

use axum::http::uri::Uri;

use super::http_url;

/// Traces are exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// The collector.
    pub endpoint: OtlpEndpoint,
    /// The part of those pushes whose callers say nothing of a trace. Default [`SampleRatio::STANDARD`].
    pub sample: SampleRatio,
}

/// Where an OpenTelemetry collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`. Without a path it is `/v1/traces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(Uri);

impl OtlpEndpoint {
    /// As a client needs it.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for OtlpEndpoint {
    type Err = OtlpError;

    /// Reads a URL.
    ///
    /// # Errors
    /// [`OtlpError::Endpoint`].
    fn from_str(text: &str) -> Result<Self, OtlpError> {
        http_url::read(text).map(Self).ok_or(OtlpError::Endpoint)
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of something, from 0 to 1, to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRatio {
    millionths: u32,
}

impl SampleRatio {
    /// Guess: at some thousand pushes a second a trace for each would be more work than the pushes.
    pub const STANDARD: Self = Self { millionths: 10_000 };

    /// As a number.
    pub(crate) fn as_f64(self) -> f64 {
        f64::from(self.millionths) / f64::from(WHOLE)
    }
}

impl FromStr for SampleRatio {
    type Err = OtlpError;

    /// Reads a number such as `0.01`.
    ///
    /// # Errors
    /// [`OtlpError::Sample`].
    fn from_str(text: &str) -> Result<Self, OtlpError> {
        let ratio: f64 = text.trim().parse().map_err(|_| OtlpError::Sample)?;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(OtlpError::Sample);
        }
        Ok(Self { millionths: (ratio * f64::from(WHOLE)).round() as u32 })
    }
}

/// Why a text is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// It is no URL of a collector.
    #[error(
        "a collector is at a URL such as http://127.0.0.1:4318, without a user; headers for it are in OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Endpoint,
    /// It is no part.
    #[error("the part of pushes that are traced is a number from 0 to 1, such as 0.01")]
    Sample,
}

/// Millionths in all.
const WHOLE: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_a_url_of_http() {
        for good in ["http://127.0.0.1:4318", "https://otlp.example/v1/traces", " http://[::1]:4318/ "] {
            assert_eq!(
                good.parse::<OtlpEndpoint>().map(|url| url.to_string().is_empty()),
                Ok(false),
                "{good}"
            );
        }
        for bad in
            ["", "127.0.0.1:4318", "grpc://collector:4317", "http://", "http://key@collector:4318", "a b"]
        {
            assert_eq!(bad.parse::<OtlpEndpoint>(), Err(OtlpError::Endpoint), "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_from_none_to_all() {
        for (text, ratio) in [("0", 0.0), ("1", 1.0), ("0.01", 0.01), (" 0.5", 0.5)] {
            assert_eq!(text.parse::<SampleRatio>().map(SampleRatio::as_f64), Ok(ratio), "{text}");
        }
        for bad in ["", "-0.1", "1.1", "NaN", "1%"] {
            assert_eq!(bad.parse::<SampleRatio>(), Err(OtlpError::Sample), "{bad}");
        }
        assert_eq!(SampleRatio::STANDARD, "0.01".parse().unwrap());
    }
}
