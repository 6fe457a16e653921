//! What a client shows: the origin of its page, its token, its resume token and its choice of device.
//!
//! The tokens themselves are checked in [`token`](crate::token). Credentials are never logged.

use axum::http::{HeaderMap, header};

use crate::config::MeshVersion;
use crate::gateway::access::Access;
use crate::gateway::auth::bearer;
use crate::gateway::clients::admission::refusal::Refusal;
use crate::gateway::clients::admission::telling::Telling;
use crate::gateway::error::BadRequest;
use crate::gateway::login_keys::LoginKeys;
use crate::gateway::parts::Gateway;
use crate::gateway::url::{FromQuery, Query};
use crate::id::{DeviceId, LoginId, SessionKey, Stamp, UserId};
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::label::Credential;
use crate::position::{Position, Segment};
use crate::router::Keeping;
use crate::session::Returning;
use crate::token::{ClientToken, ResumeKey, Resumed};

/// What the URL of `/v1/ws` says. Other parameters are the application's and ignored.
#[derive(Default)]
pub(in crate::gateway) struct ConnectParams {
    /// The client's token; for browsers, which cannot set headers.
    token: Option<String>,
    /// Development: the user.
    user: Option<String>,
    /// The device.
    device: Option<String>,
    /// The resume token of the connection that this one replaces.
    resume: Option<String>,
    /// How long the client may be away, in seconds. As text: it means something in some dialects only.
    keep: Option<String>,
    /// The positions up to which the client has everything. As text, likewise.
    after: Option<String>,
    /// How the client is told that it may not connect. As text.
    errors: Option<String>,
}

impl FromQuery for ConnectParams {
    const SHARED: bool = true;

    fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
        Ok(Self {
            token: query.take("token")?,
            user: query.take("user")?,
            device: query.take("device")?,
            resume: query.take("resume")?,
            keep: query.take("keep")?,
            after: query.take("after")?,
            errors: query.take("errors")?,
        })
    }
}

/// A client that may connect.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Client {
    /// Whose session it is going to be.
    pub(in crate::gateway) key: SessionKey,
    /// When its token expires.
    pub(in crate::gateway) expires_unix_ms: Option<u64>,
    /// What the session was claimed with that it resumes.
    pub(in crate::gateway) resumed: Option<Stamp>,
    /// What it asks for to be kept.
    pub(in crate::gateway) kept: Option<Keeping>,
    /// The login of its token.
    pub(in crate::gateway) login: Option<LoginId>,
}

/// Finds out who a client is, by its origin, its token, its resume token and its choice of device.
/// `keeps`: whether sessions can be kept in the client's dialect.
pub(super) async fn client(
    gateway: &Gateway,
    headers: &HeaderMap,
    params: ConnectParams,
    keeps: bool,
) -> Result<Client, Refusal> {
    let timers = &gateway.config.timers;
    // Nodes of before know nothing of sessions whose client is away.
    let keeps = keeps && gateway.config.mesh_version >= MeshVersion::V5 && gateway.roster.all_keep();
    let keep_max = if keeps { timers.keep_max.as_secs() } else { 0 };
    let access = gateway.access.get();
    let verification = Verification {
        access: &access,
        login_keys: gateway.login_keys.as_deref(),
        resume: &gateway.connections.resume,
        now_ms: gateway.connections.clock.now_ms(),
        metrics: &gateway.metrics,
        keep_max,
    };
    verification.origin(headers)?;
    verification.client(headers, params, || gateway.entropy.device()).await
}

struct Verification<'a> {
    access: &'a Access,
    login_keys: Option<&'a LoginKeys>,
    resume: &'a ResumeKey,
    now_ms: u64,
    metrics: &'a Metrics,
    /// How long a session may be kept, in seconds.
    keep_max: u64,
}

impl Verification<'_> {
    fn origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) }; // Not a browser.
        if self.access.allows(origin) {
            return Ok(());
        }
        self.count(Credential::Origin);
        Err(Refusal::Forbidden("this origin may not connect: add it with --origin"))
    }

    async fn client(
        &self,
        headers: &HeaderMap,
        params: ConnectParams,
        random_device: impl FnOnce() -> DeviceId,
    ) -> Result<Client, Refusal> {
        params.errors.as_deref().map(Telling::parse).transpose()?;
        let chosen = params.device.map(DeviceId::new).transpose()?;
        let keep = if self.keep_max > 0 { keep(params.keep.as_deref())? } else { 0 };
        let (user, bound, expires_unix_ms, keep_max, login) =
            match params.token.as_deref().or_else(|| bearer(headers)) {
                Some(token) => {
                    let token = self.token(token, params.user.as_deref()).await?;
                    let ClientToken { user, device, expires_unix_ms, keep, login } = token;
                    (user, device, Some(expires_unix_ms), keep.unwrap_or(u64::MAX), login)
                }
                None => (self.user(params.user)?, None, None, u64::MAX, None),
            };
        if bound.is_some() && chosen.is_some() && bound != chosen {
            let message = "the token is bound to another device: leave ?device= out, or get a token for it";
            return Err(Refusal::Forbidden(message));
        }
        let named = bound.or(chosen);
        let seconds = u32::try_from(keep.min(keep_max).min(self.keep_max)).unwrap_or(u32::MAX);
        let after = if seconds > 0 { after(params.after.as_deref())? } else { Vec::new() };
        let kept =
            |token| (seconds > 0).then_some(Keeping { seconds, returning: Returning { token, after } });
        let Some(token) = params.resume else {
            let key = SessionKey::new(user, named.unwrap_or_else(random_device));
            return Ok(Client { key, expires_unix_ms, resumed: None, kept: kept(None), login });
        };
        let Resumed { device, stamp, writer } = self.resumed(&user, named, &token)?;
        let segment = writer.map(|writer| Segment { stamp, writer });
        let key = SessionKey::new(user, device);
        Ok(Client { key, expires_unix_ms, resumed: Some(stamp), kept: kept(segment), login })
    }

    /// What a resume token of `user` says, if it is of the device that is named, or none is.
    fn resumed(&self, user: &UserId, named: Option<DeviceId>, token: &str) -> Result<Resumed, Refusal> {
        let resumed = self.resume.verify(user, token).map_err(|error| {
            self.count(Credential::Resume);
            Refusal::BadResume(error.to_string())
        })?;
        if named.is_some_and(|named| named != resumed.device) {
            return Err(Refusal::Forbidden(
                "the resume token is of another device: leave ?resume= out, or name the device of its welcome",
            ));
        }
        Ok(resumed)
    }

    async fn token(&self, token: &str, named: Option<&str>) -> Result<ClientToken, Refusal> {
        let verified = self.access.client_token(token, self.now_ms, self.login_keys).await;
        let token = verified.map_err(|error| {
            self.count(error.label());
            Refusal::Unauthorized(error.to_string().into())
        })?;
        if named.is_some_and(|named| named != token.user.as_str()) {
            return Err(Refusal::Forbidden("the token is of another user: leave ?user= out"));
        }
        Ok(token)
    }

    /// The user of a client without token.
    fn user(&self, named: Option<String>) -> Result<UserId, Refusal> {
        let message = match (self.access.dev, named) {
            (true, Some(user)) => return Ok(UserId::new(user)?),
            (true, None) => "say who connects: ?user=NAME (this node runs with --dev), or a token",
            (false, Some(_)) => {
                "?user= without a token is for nodes that run with --dev: \
                 pass a signed token as ?token= or as `Authorization: Bearer TOKEN`"
            }
            (false, None) => {
                "a client needs a signed token: pass it as ?token= or as `Authorization: Bearer TOKEN`"
            }
        };
        self.count(Credential::TokenMissing);
        Err(Refusal::Unauthorized(message.into()))
    }

    fn count(&self, kind: Credential) {
        self.metrics.auth_failures.with(kind).increment(1);
    }
}

/// How long a client wants to be able to be away, in seconds.
fn keep(text: Option<&str>) -> Result<u64, Refusal> {
    let Some(text) = text else { return Ok(0) };
    let seconds = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let message = "keep is a number of whole seconds below 2^64, such as keep=120; leave it out where nothing is to be kept";
    seconds.ok_or_else(|| BadRequest::new(message).into())
}

/// The positions up to which a client has everything.
fn after(text: Option<&str>) -> Result<Vec<Position>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    let positions = text.split(',').map(str::parse).collect::<Result<Vec<Position>, _>>();
    positions.ok().filter(|positions| positions.len() <= limits::POSITIONS_MAX).ok_or_else(|| {
        let message = "after is up to 4 positions, with commas between: for each a segment as the node wrote it, a point, \
                       and the number up to which the client has everything";
        BadRequest::new(message).into()
    })
}

#[cfg(test)]
mod described;

#[cfg(test)]
mod tests;
