//! The token of a client that is connected: the client is told before it expires, may send another one, and is closed if it
//! does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use super::handling::{Handled, call};
use crate::gateway::clients::transport::Transport;
use crate::hash::mix;
use crate::id::Stamp;
use crate::limits;
use crate::metrics::label::ClientError;
use crate::session::CloseReason;
use crate::token::{ClientToken, TokenError};

impl<T: Transport> Connection<T> {
    /// Tells the client that its token expires, ends the session some time after it has; and says when to look again.
    pub(super) fn expiry(&mut self, now: Instant) -> Option<Instant> {
        let expires = self.setup.expires_unix_ms?;
        let clock = self.setup.parts.clock.now_ms();
        let ms = Duration::from_millis;
        if clock >= expires {
            let (late, Spread { close, retry_ms }) = (ms(clock - expires), Spread::of(self.session.stamp()));
            if late >= close {
                self.session.close(CloseReason::TokenExpired { retry_ms });
                return None;
            }
            return Some(now + (close - late));
        }
        let left = expires - clock;
        // Unless the clock was set back since.
        self.told_of_expiry &= ms(left) <= EXPIRING_BEFORE;
        let next = if self.told_of_expiry { ms(left) } else { ms(left).saturating_sub(EXPIRING_BEFORE) };
        if !next.is_zero() {
            // The wall clock may be set: no wait is longer than that.
            return Some(now + next.min(EXPIRY_CHECK_MAX));
        }
        if self.admitted && self.transport.is_written() {
            self.told_of_expiry = true;
            self.tell(self.setup.dialect.expiring(left));
        }
        Some(now + ms(left).min(EXPIRING_AGAIN))
    }

    /// Checks a token that is to take the place of the one that the client has shown.
    pub(super) fn check(&mut self, token: String) {
        debug_assert!(self.handling.is_none(), "nothing is read while something is checked");
        let parts = Arc::clone(&self.setup.parts);
        self.handling = Some(call(async move {
            let (access, now_ms) = (parts.access.get(), parts.clock.now_ms());
            let checked = access.client_token(&token, now_ms, parts.login_keys.as_deref()).await;
            Ok(Handled::Checked(Box::new(checked)))
        }));
    }

    /// The token was checked: it counts from now on if it is of this session.
    pub(super) fn checked(&mut self, token: Result<ClientToken, TokenError>) {
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                self.setup.parts.metrics.auth_failures.with(error.label()).increment(1);
                return self.refuse_token(&error.to_string());
            }
        };
        if let Err(why) = self.is_of_this_session(&token) {
            return self.refuse_token(why);
        }
        self.understood();
        self.setup.expires_unix_ms = Some(token.expires_unix_ms);
        self.told_of_expiry = false;
        self.due.expiry = Some(Instant::now());
        let left = token.expires_unix_ms.saturating_sub(self.setup.parts.clock.now_ms());
        self.tell(self.setup.dialect.renewed(left));
    }

    fn refuse_token(&mut self, why: &str) {
        self.nonsense(ClientError::BadToken, self.setup.dialect.bad_token(why));
    }

    /// A session does not pass from one user, device or login to another.
    fn is_of_this_session(&self, token: &ClientToken) -> Result<(), &'static str> {
        let names = self.session.names();
        if token.user != names.user {
            return Err("the token is of another user: connect anew with it");
        }
        if token.device.as_ref().is_some_and(|device| *device != names.device) {
            return Err("the token is bound to another device: connect anew with it");
        }
        if token.login != self.session.login() {
            return Err("the token is of another login, its sid: connect anew with it");
        }
        Ok(())
    }
}

/// When a client is closed whose token has expired, and when it is to come back: clients whose tokens expire together do not come
/// back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spread {
    /// After the token has expired.
    close: Duration,
    /// After the close.
    retry_ms: u64,
}

impl Spread {
    /// That of a session. It is the same whenever one looks.
    fn of(stamp: Stamp) -> Self {
        let drawn = mix(stamp.raw());
        let close = drawn % (EXPIRED_SPREAD.as_millis() as u64 + 1);
        let (least, most) = limits::RETRY_MS;
        Self { close: Duration::from_millis(close), retry_ms: least + (drawn >> 32) % (most - least + 1) }
    }
}

/// How long before its token expires a client is told. Guess: far more than an issuer takes to give another one.
const EXPIRING_BEFORE: Duration = Duration::from_secs(30);
/// When to look again whether the line takes it. Guess.
const EXPIRING_AGAIN: Duration = Duration::from_millis(500);
/// Clients whose tokens have expired are closed over this time. Guess: a node with 100,000 of them closes 20 in a millisecond.
const EXPIRED_SPREAD: Duration = Duration::from_secs(5);
/// How long at most the wall clock is not looked at for a token's expiry. Guess.
const EXPIRY_CHECK_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_whose_tokens_expire_together_are_closed_and_come_back_over_some_time() {
        let all: Vec<_> =
            (0..10_000).map(|n| Spread::of(Stamp::from_raw((1_795_000_000_000 << 16) + n))).collect();
        let within = |spread: &Spread| {
            spread.close <= EXPIRED_SPREAD
                && (limits::RETRY_MS.0..=limits::RETRY_MS.1).contains(&spread.retry_ms)
        };
        assert!(all.iter().all(within));
        for tenth in 0..10_u32 {
            let (from, to) = (EXPIRED_SPREAD * tenth / 10, EXPIRED_SPREAD * (tenth + 1) / 10);
            let closed = all.iter().filter(|spread| (from..to).contains(&spread.close)).count();
            assert!((800..1_200).contains(&closed), "{closed} in the {tenth}th tenth");
        }
    }
}
