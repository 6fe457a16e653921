//! The secrets of a cluster that is not in `--dev`, and tokens signed by hand.
//!
//! Tokens are built here from RFC 7515 and not with the product's code, so that the two have to
//! agree on the standard.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::pushmesh;
use super::wait::unix_time;

/// Files as an operator makes them, with `pushmesh keygen`.
pub(crate) struct Keys {
    dir: TempDir,
    pub(crate) api: String,
    secret: String,
    ed25519: rcgen::KeyPair,
}

impl Keys {
    /// New ones.
    pub(crate) async fn generate() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        for (kind, name) in [
            ("cluster", "cluster.key"),
            ("hash", "hash.key"),
            ("api", "api.key"),
            ("jwt-secret", "jwt.secret"),
        ] {
            let path = dir.path().join(name);
            let path = path.to_str().expect("temporary paths are text");
            let made = pushmesh(&["keygen", "--kind", kind, "--out", path]).await;
            assert_eq!(made.code, 0, "{}", made.stderr);
        }
        let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("keygen wrote it");
        let (api, secret) = (read("api.key").trim().to_owned(), read("jwt.secret").trim().to_owned());
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("ring makes such keys");
        let keys = Self { dir, api, secret, ed25519 };
        keys.write("jwt.public.pem", &keys.ed25519.public_key_pem());
        keys.write("jwt.private.pem", &keys.ed25519.serialize_pem());
        keys
    }

    /// A file beside the keys.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text, for a flag.
    pub(crate) fn flag(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary paths are text").to_owned()
    }

    /// Writes a file beside the keys.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("a temporary file can be written");
        self.flag(name)
    }

    /// The flags of a node that has all of them.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = self.access();
        flags.extend(["--cluster-key-file".into(), self.flag("cluster.key")]);
        flags
    }

    /// The same without the mesh's.
    pub(crate) fn access(&self) -> Vec<String> {
        vec![
            "--api-key-file".into(),
            self.flag("api.key"),
            "--jwt-secret-file".into(),
            self.flag("jwt.secret"),
            "--jwt-public-key-file".into(),
            self.flag("jwt.public.pem"),
        ]
    }

    /// A token for `user` that is good for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        self.hs256(&json!({ "sub": user, "exp": now_unix() + 3_600 }))
    }

    /// `claims` signed with HS256.
    pub(crate) fn hs256(&self, claims: &Value) -> String {
        sign_hs256(&self.secret, claims)
    }

    /// `claims` signed with HS256 below any header.
    pub(crate) fn with_header(&self, header: &Value, claims: &Value) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        sign(header, claims, |text| hmac::sign(&key, text).as_ref().to_vec())
    }

    /// `claims` signed with EdDSA.
    pub(crate) fn eddsa(&self, claims: &Value) -> String {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(self.ed25519.serialized_der());
        let key = key.expect("the key was just made");
        sign(&json!({ "alg": "EdDSA", "typ": "JWT" }), claims, |text| key.sign(text).as_ref().to_vec())
    }
}

/// `claims` signed with HS256 and any secret.
pub(crate) fn sign_hs256(secret: &str, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    sign(&json!({ "alg": "HS256", "typ": "JWT" }), claims, |text| hmac::sign(&key, text).as_ref().to_vec())
}

/// The token with this header and these claims. Source: RFC 7515 section 7.1.
pub(super) fn sign(header: &Value, claims: &Value, signature: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(signature(text.as_bytes()));
    format!("{text}.{signature}")
}

/// Unix seconds.
pub(crate) fn now_unix() -> u64 {
    unix_time().as_secs()
}
