//! The socket of a caller that asked for another protocol and was refused.
//!
//! After such a request (`Upgrade`, or CONNECT) hyper hands the socket over at the end of the connection, whatever
//! the answer was. Unless the answer was 101 nobody takes that socket, and it would be closed at once: if the caller
//! is still sending, the connection is reset and the refusal is lost.

use std::sync::{Mutex, MutexGuard};

use axum::http::{Extensions, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::rt::{Read, Write};
use hyper::upgrade::OnUpgrade;

/// Where the socket of one connection arrives, if its last request for another protocol was refused.
#[derive(Default)]
pub(super) struct RefusedUpgrade(Mutex<Option<OnUpgrade>>);

impl RefusedUpgrade {
    /// What a request with these extensions asks for, if it asks for another protocol.
    pub(super) fn asked(extensions: &Extensions) -> Option<OnUpgrade> {
        extensions.get::<OnUpgrade>().cloned()
    }

    /// The request that `asked` is answered with `status`.
    pub(super) fn answered(&self, asked: Option<OnUpgrade>, status: StatusCode) {
        if asked.is_some() {
            *self.lock() = asked.filter(|_| status != StatusCode::SWITCHING_PROTOCOLS);
        }
    }

    /// The socket and what was read from it, once the connection has ended.
    pub(super) fn socket<I: Read + Write + Unpin + Send + 'static>(&self) -> Option<(I, Bytes)> {
        let upgraded = self.lock().take()?.now_or_never()?.ok()?;
        let parts = upgraded.downcast::<I>().ok()?;
        Some((parts.io, parts.read_buf))
    }

    fn lock(&self) -> MutexGuard<'_, Option<OnUpgrade>> {
        self.0.lock().expect("no panic happens under this lock")
    }
}
