//! Tokens, as fuzzers feed them: any bytes, into the code that reads what clients show.
//!
//! A fuzzer finds no signature, so some of the inputs are signed here, and reach what is behind it.
//! Each function panics where a decoder does what it must not. `tests/corpus.rs` calls them with the
//! stored inputs, the targets in `fuzz/` with new ones.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::key::Algorithm;
use super::{KeySet, ResumeKey, TokenVerifier};
use crate::config::{AuthConfig, Secret};
use crate::id::{SessionKey, UserId};
use crate::limits;

/// A client's token: as it is, or, when the first byte is odd, signed by the cluster. Then it is a line
/// with the header and, behind it, the claims.
pub(crate) fn token(data: &[u8]) {
    let [signed, rest @ ..] = data else { return };
    let text = if signed % 2 == 1 { signed_token(rest) } else { String::from_utf8_lossy(rest).into_owned() };
    if let Ok(client) = VERIFIER.verify(&text, NOW_MS) {
        assert_eq!(signed % 2, 1, "nobody else has the key");
        assert!(client.expires_unix_ms > NOW_MS, "it is not over");
    }
}

/// A resume token: as it is, or, when the first byte is odd, signed by the cluster.
pub(crate) fn resume(data: &[u8]) {
    let [signed, rest @ ..] = data else { return };
    let user = UserId::new("u").expect("a letter is a user");
    let text = if signed % 2 == 1 { signed_resume(rest) } else { String::from_utf8_lossy(rest).into_owned() };
    if let Ok(resumed) = RESUME.verify(&user, &text) {
        assert_eq!(signed % 2, 1, "nobody else has the key");
        let key = SessionKey::new(user, resumed.device);
        assert_eq!(RESUME.sign(&key, resumed.stamp, resumed.writer), text, "a session has one token");
    }
}

/// A key set, and a signature that its keys are asked about.
pub(crate) fn jwks(data: &[u8]) {
    let Ok(set) = KeySet::parse(data) else { return };
    let algorithms = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
    let keys = algorithms.map(|algorithm| set.matching(algorithm, None).collect::<Vec<_>>()).concat();
    assert!((1..=limits::KEY_SET_KEYS_MAX).contains(&keys.len()), "a set has keys, and not too many");
    assert_eq!(set.matching(Algorithm::Hs256, None).count(), 0, "no published key is a secret");
    // Some are enough: each costs as much as a signature that is checked. A point of Ed25519 may be one that has signed anything.
    for key in keys.iter().take(4) {
        let _ = key.has_signed(b"text", &[0; 64]);
    }
}

fn signed_token(data: &[u8]) -> String {
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, claims) = (&data[..line], data.get(line + 1..).unwrap_or_default());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Version, stamp and device as given, and the tag that fits them.
fn signed_resume(data: &[u8]) -> String {
    let (version, rest) = data.split_at(data.len().min(1));
    let (stamp, device) = rest.split_at(rest.len().min(8));
    let signed = [version, b"u\0", device, b"\0", stamp].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), &signed);
    URL_SAFE_NO_PAD.encode([data, &tag.as_ref()[..16]].concat())
}

static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
    let jwt_secrets = vec![Secret::new(SECRET)];
    TokenVerifier::new(&AuthConfig { jwt_secrets, ..AuthConfig::default() }).expect("there is no public key")
});

static RESUME: LazyLock<ResumeKey> = LazyLock::new(|| ResumeKey::new(&[7; 32]));

const SECRET: &str = "a secret of thirty-two characters";
/// When all of this happens.
const NOW_MS: u64 = 1_795_000_000_000;
