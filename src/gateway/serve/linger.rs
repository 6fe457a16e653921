//! The end of a connection whose caller is still sending.
//!
//! A socket that is closed while bytes of the other end are unread, or still under way, is reset, and a reset
//! destroys the answer that the caller has not read yet. So what is still sent is read and thrown away after the
//! answer, until the caller closes its side, for a bounded time and up to a bound of bytes. Source: the lingering
//! close of nginx, with its times.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Reads and throws away what the caller still sends. The answer must have been flushed.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let until_closed = async {
        // Whether it is told or not, it may still be sending.
        let _ = timeout(LINGER_PAUSE, stream.shutdown()).await;
        let mut waste = vec![0; WASTE_BYTES];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match timeout(LINGER_PAUSE, stream.read(&mut waste)).await {
                Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read),
                _ => return,
            }
        }
    };
    let _ = timeout(LINGER_MAX, until_closed).await;
}

/// Whether the caller has sent something that nobody has read.
pub(super) fn has_more<S: AsyncRead + Unpin>(stream: &mut S) -> bool {
    matches!(stream.read(&mut [0]).now_or_never(), Some(Ok(1)))
}

/// How long the caller may pause. Source: `lingering_timeout` of nginx.
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// How long all of it may take. Source: `lingering_time` of nginx.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// Bytes that are thrown away at most. Guess: four times the largest payload that can be allowed.
const LINGER_BYTES_MAX: usize = 4 * crate::limits::PAYLOAD_BYTES_CEILING;
/// Bytes that are read at once.
const WASTE_BYTES: usize = 16 << 10;
