//! Calls of the program's handler, and checks of new tokens. One that panics ends no more than its session.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::token::{ClientToken, TokenError};
use crate::vital;

/// A call of the handler, or a check that takes its time. Nothing is read from the client meanwhile.
pub(super) type Call = BoxFuture<'static, Result<Handled, Unhandled>>;

/// What a call has come to.
#[derive(Debug)]
pub(super) enum Handled {
    /// The handler has returned.
    Returned,
    /// A token that is to take the place of the client's one was checked.
    Checked(Box<Result<ClientToken, TokenError>>),
}

/// How a call failed.
#[derive(Debug)]
pub(super) enum Unhandled {
    /// `on_connect` refuses the client, for this reason.
    Refused(&'static str),
    /// It panicked, and said this.
    Panicked(String),
}

/// A call whose panic is its result: it must end no more than the session.
pub(super) fn call(work: impl Future<Output = Result<Handled, &'static str>> + Send + 'static) -> Call {
    let work = AssertUnwindSafe(work).catch_unwind().map(|result| match result {
        Ok(result) => result.map_err(Unhandled::Refused),
        Err(payload) => Err(Unhandled::Panicked(vital::said(&*payload).to_owned())),
    });
    Box::pin(work)
}

/// Waits for the handler's call, for ever if there is none. Cancel-safe: the call stays.
pub(super) async fn finished(handling: &mut Option<Call>) -> Result<Handled, Unhandled> {
    match handling {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}
