//! Resume tokens: what a session was claimed with, signed, for the client to bring back.
//!
//! A claim has to be above the claim that it replaces, and a node that is behind, or whose clock
//! is, may not know that one. The client does: it was told in its welcome, and shows it again when
//! it reconnects, at any node. So a reconnect beats its own past whatever the clocks say.
//!
//! ```text
//!   base64url without padding of:
//!   version 1 (1 byte) │ stamp (8 bytes, big endian) │ device (1 to 64 bytes, UTF-8) │ tag (16 bytes)
//!   version 2 (1 byte) │ stamp (8 bytes, big endian) │ writer (4 bytes, big endian) │ device │ tag
//!   tag = the first 16 bytes of HMAC-SHA256(key, version, user, 0, device, 0, stamp[, writer])
//! ```
//!
//! A session that is kept for its client has a token of version 2: stamp and writer are its segment, so that the next node
//! knows whom to ask for what the client missed.
//!
//! The user is not in the token, the tag covers it: a token fits its own user only. The device is
//! in it, because a client that never named one has no other way to be the same session again.
//!
//! It is no credential. It opens nothing that the client's own token does not open, and therefore
//! never expires; it only says which claim the client had. With a certificate authority of the
//! operator's own the nodes share no secret, and whoever knows the cluster's name can make one:
//! for that reason the stamp is bounded, too.
//!
//! Source: RFC 2104 section 5 for the truncated tag.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::id::{DeviceId, SessionKey, Stamp, UserId};
use crate::limits;
use crate::position::Writer;

#[cfg(test)]
mod tests;

/// Signs and checks resume tokens. The same on all nodes of a cluster.
pub(crate) struct ResumeKey(hmac::Key);

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// The device of the session.
    pub(crate) device: DeviceId,
    /// What the session was claimed with.
    pub(crate) stamp: Stamp,
    /// Who numbered its messages, if it was kept.
    pub(crate) writer: Option<Writer>,
}

impl ResumeKey {
    /// The key made of these bytes, which all nodes of the cluster derive alike.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token of the session `key` that was claimed with `stamp`. `writer` is who numbers its messages, if it is kept.
    pub(crate) fn sign(&self, key: &SessionKey, stamp: Stamp, writer: Option<Writer>) -> String {
        let device = key.device.as_str().as_bytes();
        let version = if writer.is_some() { VERSION_KEPT } else { VERSION };
        let mut claim = stamp.raw().to_be_bytes().to_vec();
        claim.extend(writer.into_iter().flat_map(|writer| writer.raw().to_be_bytes()));
        let tag = self.tag(version, &key.user, device, &claim);
        let token = URL_SAFE_NO_PAD.encode([&[version][..], &claim, device, &tag].concat());
        debug_assert!(token.len() <= TOKEN_BYTES_MAX, "what is signed here is read here");
        token
    }

    /// What `token` says, if a node of this cluster signed it for `user`.
    ///
    /// # Errors
    /// [`ResumeError`] says which check failed. Nothing of a token is believed before its tag is.
    pub(crate) fn verify(&self, user: &UserId, token: &str) -> Result<Resumed, ResumeError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ResumeError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| ResumeError::Malformed)?;
        let (version, rest) = bytes.split_first().ok_or(ResumeError::Malformed)?;
        let claim_bytes = match *version {
            VERSION => STAMP_BYTES,
            VERSION_KEPT => STAMP_BYTES + WRITER_BYTES,
            found => return Err(ResumeError::Version { found }),
        };
        let (claim, rest) = rest.split_at_checked(claim_bytes).ok_or(ResumeError::Malformed)?;
        let (device, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(ResumeError::Malformed)?;
        if !bool::from(self.tag(*version, user, device, claim).ct_eq(tag)) {
            return Err(ResumeError::Tag);
        }
        let (stamp, writer) = claim.split_first_chunk::<STAMP_BYTES>().ok_or(ResumeError::Malformed)?;
        let stamp = u64::from_be_bytes(*stamp);
        let writer =
            writer.first_chunk::<WRITER_BYTES>().map(|writer| Writer::from_raw(u32::from_be_bytes(*writer)));
        if stamp > STAMP_MAX {
            return Err(ResumeError::Stamp);
        }
        let device = std::str::from_utf8(device).map_err(|_| ResumeError::Malformed)?;
        let device = DeviceId::new(device).map_err(|_| ResumeError::Malformed)?;
        Ok(Resumed { device, stamp: Stamp::from_raw(stamp), writer })
    }

    /// No user and no device that is believed holds a zero byte, so that two sessions never read
    /// the same.
    fn tag(&self, version: u8, user: &UserId, device: &[u8], claim: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [&[version][..], user.as_str().as_bytes(), &[0], device, &[0], claim] {
            context.update(part);
        }
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("HMAC-SHA256 gives 32 bytes")
    }
}

/// Why a resume token is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResumeError {
    /// It is not base64url of a token.
    #[error(
        "the resume token is malformed: pass the one of the last welcome unchanged, or leave ?resume= out"
    )]
    Malformed,
    /// It has another format.
    #[error("the resume token has format {found}, which this node does not read: leave ?resume= out")]
    Version {
        /// Its first byte.
        found: u8,
    },
    /// Its tag was made with another key, or for another user, or it was changed.
    #[error("the resume token is not one of this cluster and this user: leave ?resume= out")]
    Tag,
    /// No claim can be above it.
    #[error("the resume token names a time that no node can have: leave ?resume= out")]
    Stamp,
}

/// The format of a token of a session that is not kept.
const VERSION: u8 = 1;
/// The same of one that is. A node refuses tokens of any other.
const VERSION_KEPT: u8 = 2;

/// Bytes of a stamp.
const STAMP_BYTES: usize = 8;

/// Bytes of a writer.
const WRITER_BYTES: usize = 4;

/// Bytes of a tag. Source: RFC 2104 section 5, at least half of the hash.
const TAG_BYTES: usize = 16;

/// The greatest stamp that is honoured: the year 6429, and as many claims above it as below, so that
/// the next one is always greater. Only a forged token, or a clock out of order, has more.
const STAMP_MAX: u64 = u64::MAX / 2;

/// Characters of the longest token: base64 without padding.
pub(crate) const TOKEN_BYTES_MAX: usize =
    ((1 + STAMP_BYTES + WRITER_BYTES + limits::DEVICE_BYTES_MAX + TAG_BYTES) * 4).div_ceil(3);

const _: () =
    assert!(TOKEN_BYTES_MAX < limits::URL_BYTES_MAX / 8, "a token fits into a URL with another one");
