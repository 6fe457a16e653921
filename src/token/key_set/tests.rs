//! Which keys of a set are taken, and which documents are none.

use serde_json::{Value, json};

use super::*;
use crate::token::tests::issuer::{Issuer, encode, set, with};

/// The one reason why that key is skipped.
fn skipped(key: &Value) -> String {
    let error = KeySet::parse(set(std::slice::from_ref(key)).as_bytes()).unwrap_err();
    match error {
        KeySetError::Unusable { keys: 1, first } => first,
        other => panic!("{key} is skipped, and not {other:?}"),
    }
}

fn taken(keys: &[Value]) -> KeySet {
    KeySet::parse(set(keys).as_bytes()).unwrap()
}

#[test]
fn keys_for_other_purposes_are_skipped_and_the_rest_is_taken() {
    let issuer = Issuer::new();
    let good = with(issuer.rsa(), json!({ "kid": "a", "alg": "RS256", "use": "sig" }));
    let others = [
        (with(issuer.rsa(), json!({ "use": "enc", "alg": "RSA-OAEP" })), "use is not sig"),
        (with(issuer.rsa(), json!({ "alg": "RSA-OAEP" })), "\"RSA-OAEP\""),
        (with(issuer.rsa(), json!({ "alg": "RS512" })), "\"RS512\""),
        (with(issuer.rsa(), json!({ "alg": "PS256" })), "\"PS256\""),
        (with(issuer.rsa(), json!({ "alg": "HS256" })), "\"HS256\""),
        (with(issuer.p256(), json!({ "alg": "EdDSA" })), "\"EdDSA\""),
        (with(issuer.rsa(), json!({ "use": "SIG" })), "use is not sig"),
        (with(issuer.rsa(), json!({ "key_ops": ["sign"] })), "key_ops"),
        (with(issuer.rsa(), json!({ "key_ops": [] })), "key_ops"),
        (json!({ "kty": "oct", "k": encode([7; 32]), "alg": "HS256" }), "\"oct\""),
        (with(issuer.p256(), json!({ "crv": "P-384" })), "\"EC P-384\""),
        (with(issuer.p256(), json!({ "crv": "secp256k1" })), "\"EC secp256k1\""),
        (with(issuer.ed25519(), json!({ "crv": "X25519" })), "\"OKP X25519\""),
        (with(issuer.ed25519(), json!({ "crv": null })), "\"OKP\""),
        (json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }), "\"AKP\""),
        (json!({ "kid": "a" }), "missing field `kty`"),
        (json!("key"), "expected an object"),
        (with(issuer.rsa(), json!({ "kid": 7 })), "cannot be read"),
    ];
    for (other, why) in &others {
        let said = skipped(other);
        assert!(said.contains(why), "{other}: {said}");
        let keys = taken(&[other.clone(), good.clone()]);
        assert_eq!((keys.keys.len(), keys.skipped.len()), (1, 1), "{other}");
    }
    let for_checking = with(good, json!({ "key_ops": ["sign", "verify"], "x5c": ["!"], "x5t": 7 }));
    assert_eq!(taken(&[for_checking]).keys.len(), 1);
}

#[test]
fn numbers_that_no_key_has_are_refused() {
    let issuer = Issuer::new();
    let n = |bytes: &[u8]| with(issuer.rsa(), json!({ "n": encode(bytes) }));
    let e = |bytes: &[u8]| with(issuer.rsa(), json!({ "e": encode(bytes) }));
    let short = |first: u8| n(&[&[first][..], &[0xff; 255]].concat());
    let cases = [
        (n(&[0xff; 128]), "1024 bits"),
        (short(0x7f), "2047 bits"),
        (n(&[0xff; 1_025]), "8200 bits"),
        (n(&[]), "0 bits"),
        (n(&[0; 256]), "0 bits"),
        (n(&[&[0xff; 255][..], &[0xfe]].concat()), "not one of an RSA key"),
        (e(&[1]), "not one of an RSA key"),
        (e(&[1, 0, 0]), "not one of an RSA key"),
        (e(&[2, 0, 0, 0, 1]), "not one of an RSA key"),
        (e(&[1, 0, 0, 0, 0, 0, 0, 0, 1]), "not one of an RSA key"),
        (e(&[]), "not one of an RSA key"),
        (with(issuer.rsa(), json!({ "e": null })), "its e is missing"),
        (with(issuer.rsa(), json!({ "e": "AQAB==" })), "its e is missing, or is not base64url"),
        (with(issuer.rsa(), json!({ "e": "AQ AB" })), "base64url"),
        (with(issuer.rsa(), json!({ "n": "+/+/" })), "its n is missing, or is not base64url"),
        (with(issuer.rsa(), json!({ "e": "AQAC/w" })), "base64url"),
        (with(issuer.p256(), json!({ "x": encode([7; 31]) })), "32 bytes"),
        (with(issuer.p256(), json!({ "y": encode([0; 33]) })), "32 bytes"),
        (with(issuer.ed25519(), json!({ "x": encode([7; 57]) })), "32 bytes"),
        (with(issuer.ed25519(), json!({ "x": encode([7; 32]) + "=" })), "base64url"),
    ];
    for (key, why) in &cases {
        let said = skipped(key);
        assert!(said.contains(why), "{key}: {said}");
    }
    assert_eq!(taken(&[short(0x80)]).keys.len(), 1, "2048 bits");
}

#[test]
fn a_document_that_is_no_key_set_says_what_is_wrong() {
    let error = |text: &str| KeySet::parse(text.as_bytes()).unwrap_err().to_string();
    let key = Issuer::new().ed25519();
    let cases = [
        ("", "is not a JSON Web Key Set"),
        ("[]", "expected an object"),
        ("{}", "missing field `keys`"),
        (&key.to_string(), "missing field `keys`"),
        (&format!(r#"{{"keys":[],"keys":[{key}]}}"#), "duplicate field"),
        (r#"{"keys":{}}"#, "expected a sequence"),
        (r#"{"keys":[]}"#, "among its 0"),
        ("-----BEGIN PUBLIC KEY-----", "is not a JSON Web Key Set"),
    ];
    for (text, why) in cases {
        let said = error(text);
        assert!(said.contains(why), "{text}: {said}");
    }
    let set_of = |keys: usize| set(&vec![key.clone(); keys]);
    assert_eq!(KeySet::parse(set_of(limits::KEY_SET_KEYS_MAX).as_bytes()).unwrap().keys.len(), 100);
    assert!(error(&set_of(limits::KEY_SET_KEYS_MAX + 1)).contains("has 101 keys"));
    let padded = |bytes: usize| format!("{}{}", set_of(1), " ".repeat(bytes - set_of(1).len()));
    assert!(KeySet::parse(padded(limits::KEY_SET_BYTES_MAX).as_bytes()).is_ok());
    assert!(error(&padded(limits::KEY_SET_BYTES_MAX + 1)).contains("more than 1048576 bytes"));
    assert!(KeySet::parse(b"{\"keys\":[],\"x\":\"\xff\"}").unwrap_err().to_string().contains("UTF-8"));
}
