//! An identity provider: keys under names, the set that it publishes of them, and tokens signed by them.
//!
//! As in `keys.rs`, all of it is built from the standards (RFC 7515, 7517 and 8037) and not with the product's code.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::keys::{now_unix, sign};

/// A key of a provider.
pub(crate) struct ProviderKey {
    kid: &'static str,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl ProviderKey {
    /// A new one, for ES256.
    pub(crate) fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let made = made.expect("ring makes such keys");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        Self { kid, pair: pair.expect("the key was just made"), random }
    }

    /// A token for `user` that is good for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        self.sign(
            &json!({ "sub": user, "iss": ISSUER, "aud": ["push", "account"], "exp": now_unix() + 3_600 }),
        )
    }

    /// Signs `claims`.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid });
        sign(&header, claims, |text| {
            self.pair.sign(&self.random, text).expect("ring has entropy").as_ref().to_vec()
        })
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({ "kid": self.kid, "kty": "EC", "alg": "ES256", "use": "sig", "crv": "P-256", "x": x, "y": y })
    }
}

/// What a provider publishes that has these keys.
pub(crate) fn key_set(keys: &[&ProviderKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// `iss` of its tokens.
pub(crate) const ISSUER: &str = "https://id.example/realms/staff";
