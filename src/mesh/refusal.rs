//! Why a connection between nodes did not become a link, in the few words of a metric.
//!
//! Connections end without a link all the time: dials cross, probes are answered, nodes stop. That is no
//! refusal, and counting it would hide what an operator has to see.

use quinn::{Connection, ConnectionError};

use crate::mesh::codec::CodecError;
use crate::mesh::endpoint::CloseCode;
use crate::mesh::handshake::HandshakeError;
pub(crate) use crate::metrics::label::Refusal;

impl Refusal {
    /// What the end of a connection means; `None` for an end that is as it should be.
    pub(crate) fn of_connection(error: &ConnectionError) -> Option<Self> {
        match error {
            ConnectionError::TransportError(error) => Some(Self::of_code(error.code.into())),
            ConnectionError::ConnectionClosed(close) => Some(Self::of_code(close.error_code.into())),
            ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Protocol.code() => {
                Some(Self::Protocol)
            }
            ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed => None,
            ConnectionError::VersionMismatch => Some(Self::Version),
            ConnectionError::Reset | ConnectionError::TimedOut | ConnectionError::CidsExhausted => {
                Some(Self::Unfinished)
            }
        }
    }

    fn of_code(code: u64) -> Self {
        match code {
            CONNECTION_REFUSED => Self::Flood,
            NO_ERROR | APPLICATION_ERROR => Self::Unfinished,
            _ => match code.checked_sub(CRYPTO_ERROR) {
                Some(alert) if ALERTS_OF_IDENTITY.contains(&alert) => Self::Identity,
                Some(PROTOCOL_VERSION | NO_APPLICATION_PROTOCOL) => Self::Version,
                _ => Self::Protocol,
            },
        }
    }

    /// What a failed greeting over `connection` means; `None` for an end that is as it should be.
    pub(crate) fn of_greeting(error: &HandshakeError, connection: &Connection) -> Option<Self> {
        match error {
            HandshakeError::Name { .. } => Some(Self::Identity),
            HandshakeError::OtherTakeover { .. } => Some(Self::Takeover),
            HandshakeError::OtherHashKey => Some(Self::HashKey),
            HandshakeError::Stale { .. } | HandshakeError::PeerIsStale { .. } => Some(Self::Stale),
            HandshakeError::Myself => None,
            HandshakeError::Codec(CodecError::Kind(_) | CodecError::Version { .. }) => Some(Self::Version),
            // A connection that was closed meanwhile says why.
            HandshakeError::Codec(CodecError::Broken(_)) | HandshakeError::Unexpected => {
                connection.close_reason().map_or(Some(Self::Protocol), |reason| Self::of_connection(&reason))
            }
            HandshakeError::Timeout => connection
                .close_reason()
                .map_or(Some(Self::Unfinished), |reason| Self::of_connection(&reason)),
            HandshakeError::Codec(_) | HandshakeError::Barred => Some(Self::Protocol),
        }
    }
}

/// Error codes of QUIC. Source: RFC 9000 section 20.1.
const NO_ERROR: u64 = 0x00;
const CONNECTION_REFUSED: u64 = 0x02;
/// What a dialler says that gives up before it is connected.
const APPLICATION_ERROR: u64 = 0x0c;
/// The alerts of TLS begin here, one code each.
const CRYPTO_ERROR: u64 = 0x100;
/// The alerts about certificates and their keys: bad, unsupported, revoked, expired, unknown, of an unknown authority,
/// access denied, a wrong signature, none. Source: RFC 8446 section 6.2.
const ALERTS_OF_IDENTITY: [u64; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];
/// The alert for no common version of TLS.
const PROTOCOL_VERSION: u64 = 70;
/// The alert for no common application protocol. Source: RFC 7301 section 3.2.
const NO_APPLICATION_PROTOCOL: u64 = 120;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quinn::ApplicationClose;

    use super::*;

    #[test]
    fn ends_that_are_as_they_should_be_are_no_refusals() {
        let closed = |code: CloseCode| {
            let close = ApplicationClose { error_code: code.code(), reason: Bytes::new() };
            Refusal::of_connection(&ConnectionError::ApplicationClosed(close))
        };
        for code in [CloseCode::Ended, CloseCode::Left, CloseCode::Duplicate, CloseCode::Probed] {
            assert_eq!(closed(code), None, "{code:?}");
        }
        assert_eq!(closed(CloseCode::Protocol), Some(Refusal::Protocol));
        assert_eq!(Refusal::of_connection(&ConnectionError::LocallyClosed), None);
        assert_eq!(Refusal::of_connection(&ConnectionError::TimedOut), Some(Refusal::Unfinished));
    }

    #[test]
    fn a_handshake_that_fails_is_named_by_what_its_code_means() {
        assert_eq!(Refusal::of_code(CRYPTO_ERROR + 48), Refusal::Identity, "unknown authority");
        assert_eq!(Refusal::of_code(CRYPTO_ERROR + 116), Refusal::Identity, "no certificate");
        assert_eq!(Refusal::of_code(CRYPTO_ERROR + 47), Refusal::Protocol, "an illegal parameter");
        assert_eq!(Refusal::of_code(CRYPTO_ERROR + NO_APPLICATION_PROTOCOL), Refusal::Version);
        assert_eq!(Refusal::of_code(APPLICATION_ERROR), Refusal::Unfinished, "the dialler gave up");
        assert_eq!(Refusal::of_code(CONNECTION_REFUSED), Refusal::Flood);
        assert_eq!(Refusal::of_code(0x0a), Refusal::Protocol);
    }
}
