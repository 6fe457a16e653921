//! An identity provider, as tests need one: its keys, what it publishes of them, and the tokens that it signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

pub(in crate::token) struct Issuer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// Its RSA key is always the same, because ring makes none; the others are new.
    pub(in crate::token) fn new() -> Self {
        let random = SystemRandom::new();
        let rsa = PrivatePkcs8KeyDer::from_pem_slice(include_bytes!("rsa.pem")).unwrap();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            rsa: RsaKeyPair::from_pkcs8(rsa.secret_pkcs8_der()).unwrap(),
            p256: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).unwrap(),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap(),
            random,
        }
    }

    /// Its RSA key as a JWK with no more than it needs.
    pub(in crate::token) fn rsa(&self) -> Value {
        let RsaPublicKeyComponents::<Vec<u8>> { n, e } = self.rsa.public().into();
        json!({ "kty": "RSA", "n": encode(&n), "e": encode(&e) })
    }

    /// Its P-256 key likewise.
    pub(in crate::token) fn p256(&self) -> Value {
        let (x, y) = self.p256.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
    }

    /// Its Ed25519 key likewise.
    pub(in crate::token) fn ed25519(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(self.ed25519.public_key().as_ref()) })
    }

    /// A token, signed by the key that goes with `alg` of the header.
    pub(in crate::token) fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let message = signed.as_bytes();
        let signature = match header["alg"].as_str() {
            Some("RS256") => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature).unwrap();
                signature
            }
            Some("ES256") => self.p256.sign(&self.random, message).unwrap().as_ref().to_vec(),
            Some("EdDSA") => self.ed25519.sign(message).as_ref().to_vec(),
            other => panic!("no key signs with {other:?}"),
        };
        format!("{signed}.{}", encode(signature))
    }
}

/// A JWK with more fields, or others.
pub(in crate::token) fn with(mut jwk: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    jwk.as_object_mut().expect("a JWK is an object").extend(fields);
    jwk
}

/// The document of these keys.
pub(in crate::token) fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub(in crate::token) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
