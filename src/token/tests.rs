//! The rules of client tokens, one sentence each. Keys are made on the spot.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::json;

use super::sign::SignError;
use super::*;
use crate::config::Secret;
use crate::id::{DeviceId, UserId};

mod company;
pub(super) mod issuer;

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const NOW_S: u64 = 1_700_000_000;
const NOW_MS: u64 = NOW_S * 1_000;

fn claims() -> Claims {
    Claims { sub: "42".to_owned(), device: None, exp: NOW_S + 60, iat: Some(NOW_S), nbf: None, sid: None }
}

fn verifier(secrets: &[&str], public_keys: &[String]) -> TokenVerifier {
    let auth = AuthConfig {
        jwt_secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
        jwt_public_keys_pem: public_keys.to_vec(),
        ..AuthConfig::default()
    };
    TokenVerifier::new(&auth).unwrap()
}

fn pair() -> (Secret, String) {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    (Secret::new(pair.serialize_pem()), pair.public_key_pem())
}

/// A token with any header and any claims, signed with HS256 by `secret`.
fn handmade(header: serde_json::Value, claims: serde_json::Value, secret: &[u8]) -> String {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn hs256(claims: serde_json::Value) -> Result<ClientToken, TokenError> {
    let token = handmade(json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET.as_bytes());
    verifier(&[SECRET], &[]).verify(&token, NOW_MS)
}

fn problem(result: Result<ClientToken, TokenError>) -> String {
    match result {
        Err(TokenError::Claims { problem }) => problem,
        other => panic!("expected a problem with the claims, got {other:?}"),
    }
}

#[test]
fn a_token_signed_with_hs256_is_accepted() {
    let token = sign_hs256(&Secret::new(SECRET), &claims());
    let said = verifier(&[SECRET], &[]).verify(&token, NOW_MS).unwrap();
    let user = UserId::new("42").unwrap();
    assert_eq!(
        said,
        ClientToken { user, device: None, expires_unix_ms: NOW_MS + 60_000, keep: None, login: None }
    );
}

#[test]
fn a_token_signed_with_eddsa_is_accepted() {
    let (private, public) = pair();
    let token = sign_eddsa(&private, &claims()).unwrap();
    assert_eq!(verifier(&[], &[public]).verify(&token, NOW_MS).unwrap().user.as_str(), "42");
}

#[test]
fn the_known_token_of_rfc_8037_has_a_good_signature() {
    // RFC 8037 appendix A.2 and A.4: the public key as SubjectPublicKeyInfo, and the signed text,
    // whose payload is not JSON: the signature is right exactly if the claims are what fails.
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                  -----END PUBLIC KEY-----\n";
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6\
                 dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let result = verifier(&[], &[public.to_owned()]).verify(token, NOW_MS);
    assert!(matches!(result, Err(TokenError::Claims { .. })), "{result:?}");
}

#[test]
fn a_key_of_openssl_without_its_public_half_can_sign() {
    // PKCS#8 version 1 of the private key of RFC 8037 appendix A.1.
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                  -----END PUBLIC KEY-----\n";
    let token = sign_eddsa(&Secret::new(private), &claims()).unwrap();
    assert!(verifier(&[], &[public.to_owned()]).verify(&token, NOW_MS).is_ok());
}

#[test]
fn any_configured_key_of_the_algorithm_is_accepted_and_no_other() {
    let (private, public) = pair();
    let (_, other_public) = pair();
    let token = sign_eddsa(&private, &claims()).unwrap();
    assert!(verifier(&[SECRET], &[other_public.clone(), public]).verify(&token, NOW_MS).is_ok());
    assert_eq!(verifier(&[SECRET], &[other_public]).verify(&token, NOW_MS), Err(TokenError::Signature));

    let token = sign_hs256(&Secret::new(SECRET), &claims());
    assert!(verifier(&["another secret", SECRET], &[]).verify(&token, NOW_MS).is_ok());
    assert_eq!(verifier(&["another secret"], &[]).verify(&token, NOW_MS), Err(TokenError::Signature));
    assert_eq!(verifier(&[], &[]).verify(&token, NOW_MS), Err(TokenError::Signature));
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let token = sign_hs256(&Secret::new(SECRET), &claims());
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(json!({"sub": "admin", "exp": NOW_S + 60}).to_string());
    assert_eq!(verifier(&[SECRET], &[]).verify(&parts.join("."), NOW_MS), Err(TokenError::Signature));
}

#[test]
fn a_token_expires_at_the_time_given_and_not_at_the_clock_of_the_machine() {
    let token = sign_hs256(&Secret::new(SECRET), &claims());
    let verifier = verifier(&[SECRET], &[]);
    assert!(verifier.verify(&token, NOW_MS + 59_999).is_ok());
    assert_eq!(verifier.verify(&token, NOW_MS + 60_000), Err(TokenError::Expired { by_ms: 0 }));
    assert_eq!(verifier.verify(&token, NOW_MS + 65_000), Err(TokenError::Expired { by_ms: 5_000 }));
}

#[test]
fn a_token_without_signature_is_refused() {
    let claims = json!({"sub": "42", "exp": NOW_S + 60});
    let signed = handmade(json!({"alg": "none"}), claims, SECRET.as_bytes());
    let (message, _) = signed.rsplit_once('.').unwrap();
    for token in [signed.clone(), format!("{message}.")] {
        assert_eq!(verifier(&[SECRET], &[]).verify(&token, NOW_MS), Err(TokenError::Algorithm));
    }
    assert_eq!(verifier(&[SECRET], &[]).verify(message, NOW_MS), Err(TokenError::Malformed));
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    let (_, public) = pair();
    let claims = json!({"sub": "42", "exp": NOW_S + 60});
    let Some(Key::EdDsa(key)) = Key::ed25519_pem(&public) else { panic!("it is the PEM of such a key") };
    for secret in [public.as_bytes(), public.trim().as_bytes(), &key[..]] {
        let token = handmade(json!({"alg": "HS256"}), claims.clone(), secret);
        let both = verifier(&[SECRET], std::slice::from_ref(&public));
        assert_eq!(both.verify(&token, NOW_MS), Err(TokenError::Signature));
        let token = handmade(json!({"alg": "EdDSA"}), claims.clone(), secret);
        assert_eq!(both.verify(&token, NOW_MS), Err(TokenError::Signature));
    }
}

#[test]
fn other_algorithms_and_those_without_a_key_are_refused() {
    for (alg, error) in [
        ("HS384", TokenError::Algorithm),
        ("HS512", TokenError::Algorithm),
        ("RS256", TokenError::Signature),
        ("ES256", TokenError::Signature),
        ("PS256", TokenError::Algorithm),
        ("none", TokenError::Algorithm),
        ("hs256", TokenError::Algorithm),
    ] {
        let token = handmade(json!({"alg": alg}), json!({"sub": "42", "exp": NOW_S + 60}), SECRET.as_bytes());
        assert_eq!(verifier(&[SECRET], &[]).verify(&token, NOW_MS), Err(error), "{alg}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    for token in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "\u{1f980}.x.y", "eyJhbGciOiJIUzI1NiJ9"] {
        assert_eq!(verifier(&[SECRET], &[]).verify(token, NOW_MS), Err(TokenError::Malformed), "{token:?}");
    }
}

#[test]
fn user_and_expiry_are_required() {
    assert!(problem(hs256(json!({"exp": NOW_S + 60}))).contains("`sub`"));
    assert!(problem(hs256(json!({"sub": "42"}))).contains("`exp`"));
    assert!(problem(hs256(json!({"sub": "", "exp": NOW_S + 60}))).contains("must not be empty"));
    assert!(problem(hs256(json!({"sub": 42, "exp": NOW_S + 60}))).contains("sub is not a text"));
    assert!(problem(hs256(json!({"sub": "42", "exp": "soon"}))).contains("Unix seconds"));
}

#[test]
fn a_device_claim_is_taken_over_and_checked() {
    let said = hs256(json!({"sub": "42", "exp": NOW_S + 60, "device": "phone", "role": "x"})).unwrap();
    assert_eq!(said.device, Some(DeviceId::new("phone").unwrap()));
    assert!(
        problem(hs256(json!({"sub": "42", "exp": NOW_S + 60, "device": "a\nb"}))).starts_with("device: ")
    );
}

#[test]
fn a_fraction_of_a_second_is_a_date_too() {
    let said = hs256(json!({"sub": "42", "exp": NOW_S as f64 + 60.5})).unwrap();
    assert_eq!(said.expires_unix_ms, NOW_MS + 60_000);
    assert!(matches!(hs256(json!({"sub": "42", "exp": -1.5})), Err(TokenError::Expired { .. })));
}

/// Good claims with one more, or another one.
fn with(name: &str, value: serde_json::Value) -> Result<ClientToken, TokenError> {
    let mut claims = json!({"sub": "42", "exp": NOW_S + 60});
    claims[name] = value;
    hs256(claims)
}

#[test]
fn a_token_for_later_or_for_others_is_refused() {
    assert!(hs256(json!({"sub": "42", "exp": NOW_S + 600, "nbf": NOW_S + 60})).is_ok());
    assert!(problem(hs256(json!({"sub": "42", "exp": NOW_S + 600, "nbf": NOW_S + 61}))).contains("nbf"));
    for good in [json!("pushmesh"), json!(["billing", "pushmesh"]), json!(["pushmesh"])] {
        assert!(with("aud", good.clone()).is_ok(), "{good}");
    }
    let others = [
        json!("billing"),
        json!("Pushmesh"),
        json!(""),
        json!([]),
        json!(["billing"]),
        json!(["pushmesh", 5]),
        json!([["pushmesh"]]),
        json!(["pushmesh", null]),
        json!({"pushmesh": true}),
        json!(5),
        json!(true),
        json!(null),
    ];
    for other in others {
        assert!(problem(with("aud", other.clone())).contains("aud"), "{other}");
    }
}

#[test]
fn a_listed_claim_of_another_type_is_refused_and_says_which() {
    for claim in ["sub", "device", "exp", "nbf"] {
        for value in [json!(null), json!([]), json!({}), json!(true), json!(["42"])] {
            assert!(problem(with(claim, value.clone())).starts_with(claim), "{claim}: {value}");
        }
    }
    for claim in ["sub", "device"] {
        assert!(problem(with(claim, json!(42))).starts_with(claim));
    }
    for claim in ["exp", "nbf"] {
        assert!(problem(with(claim, json!((NOW_S + 60).to_string()))).starts_with(claim));
    }
}

#[test]
fn other_claims_are_ignored_whatever_their_type() {
    for claim in ["iat", "jti", "iss", "scope", "user", "b64", "crit"] {
        for value in [json!(null), json!("soon"), json!(-1.5), json!([1]), json!({"exp": 0})] {
            assert!(with(claim, value.clone()).is_ok(), "{claim}: {value}");
        }
    }
}

#[test]
fn numbers_out_of_any_range_are_dates_that_are_over_or_too_far_ahead() {
    for over in [json!(-1), json!(-1e300), json!(0), json!(-0.0), json!(i64::MIN), json!(0.9)] {
        assert!(matches!(with("exp", over.clone()), Err(TokenError::Expired { .. })), "{over}");
        assert!(with("nbf", over.clone()).is_ok(), "{over}");
    }
    for far in [json!(u64::MAX), json!(1e300), json!(1e19), json!(NOW_MS)] {
        assert!(matches!(with("exp", far.clone()), Err(TokenError::Lifetime { .. })), "{far}");
        assert!(problem(with("nbf", far.clone())).contains("nbf is in the future"), "{far}");
    }
    let claims = format!(r#"{{"sub":"42","exp":1e999,"nbf":{NOW_S}}}"#);
    assert!(problem(signed(r#"{"alg":"HS256"}"#, &claims)).contains("number out of range"));
}

#[test]
fn a_token_expires_within_the_longest_lifetime() {
    let lifetime_s = crate::limits::TOKEN_LIFETIME_MAX.as_secs();
    assert_eq!(lifetime_s, 366 * 24 * 60 * 60);
    assert!(with("exp", json!(NOW_S + lifetime_s)).is_ok());
    let error = with("exp", json!(NOW_S + lifetime_s + 1)).unwrap_err();
    assert_eq!(error, TokenError::Lifetime { exp: NOW_S + lifetime_s + 1, latest: NOW_S + lifetime_s });
    assert!(error.to_string().contains("--max-token-lifetime"), "{error}");
    assert!(with("exp", json!(NOW_MS + 60_000)).unwrap_err().to_string().contains("milliseconds"));

    let auth = AuthConfig {
        jwt_secrets: vec![Secret::new(SECRET)],
        max_token_lifetime: Duration::from_secs(60),
        ..AuthConfig::default()
    };
    let verifier = TokenVerifier::new(&auth).unwrap();
    let token = sign_hs256(&Secret::new(SECRET), &claims());
    assert!(verifier.verify(&token, NOW_MS).is_ok());
    assert!(matches!(verifier.verify(&token, NOW_MS - 1), Err(TokenError::Lifetime { .. })));
}

/// A token of these very texts, signed with HS256.
fn signed(header: &str, claims: &str) -> Result<ClientToken, TokenError> {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes()));
    verifier(&[SECRET], &[]).verify(&format!("{message}.{signature}"), NOW_MS)
}

#[test]
fn claims_and_header_are_objects_with_each_field_once() {
    let header = r#"{"alg":"HS256"}"#;
    let exp = NOW_S + 60;
    let good = format!(r#"{{"sub":"42","exp":{exp}}}"#);
    assert!(signed(header, &good).is_ok());
    assert!(signed(r#" { "typ" : 7, "jku": ["x"], "alg" : "HS256", "zip": null } "#, &good).is_ok());
    let bad_claims = [
        format!(r#"["42",null,{exp},null]"#),
        format!(r#"["42",{exp}]"#),
        "[]".to_owned(),
        "null".to_owned(),
        "\"42\"".to_owned(),
        String::new(),
        format!(r#"{{"sub":"41","exp":{exp},"sub":"42"}}"#),
        format!(r#"{{"sub":"42","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"sub":"42","exp":{exp},"aud":"pushmesh","aud":"pushmesh"}}"#),
        format!("{good} x"),
        format!("\u{feff}{good}"),
    ];
    for claims in bad_claims {
        assert!(matches!(signed(header, &claims), Err(TokenError::Claims { .. })), "{claims}");
    }
    let bad_headers = [
        r#"["HS256"]"#,
        r#"["JWT","HS256"]"#,
        "{}",
        r#"{"alg":7}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        "\"HS256\"",
    ];
    for header in bad_headers {
        assert_eq!(signed(header, &good), Err(TokenError::Malformed), "{header}");
    }
}

#[test]
fn a_header_that_asks_for_an_extension_is_refused() {
    let good = format!(r#"{{"sub":"42","exp":{}}}"#, NOW_S + 60);
    let refused = [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":true}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":"x"}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":"true"}"#,
        r#"{"alg":"HS256","b64":null}"#,
    ];
    for header in refused {
        assert!(matches!(signed(header, &good), Err(TokenError::Header { .. })), "{header}");
    }
    assert!(signed(r#"{"alg":"HS256","b64":true}"#, &good).is_ok(), "it says what is so anyway");
}

#[test]
fn keys_of_another_kind_are_refused_with_a_way_out() {
    let (private, public) = pair();
    let with = |pem: &str| {
        TokenVerifier::new(&AuthConfig { jwt_public_keys_pem: vec![pem.to_owned()], ..AuthConfig::default() })
            .err()
    };
    assert_eq!(with(private.expose()), Some(TokenKeyError::Public));
    assert_eq!(with("nonsense"), Some(TokenKeyError::Public));
    assert_eq!(sign_eddsa(&Secret::new(public), &claims()), Err(SignError::Key));
    assert!(SignError::Key.to_string().contains("openssl genpkey -algorithm ed25519"));
}

#[test]
fn a_login_is_a_text_that_is_not_too_long() {
    let login = |value| with("sid", value).map(|said| said.login.map(|login| login.to_string()));
    assert_eq!(login("s-1".into()), Ok(Some("s-1".to_owned())));
    assert_eq!(login("x".repeat(128).into()), Ok(Some("x".repeat(128))));
    for bad in
        [serde_json::json!(7), serde_json::Value::Null, "".into(), "x".repeat(129).into(), "a\n".into()]
    {
        let found = login(bad.clone());
        assert!(matches!(found, Err(TokenError::Claims { .. })), "{bad}: {found:?}");
    }
}

#[test]
fn an_object_with_the_key_of_a_library_is_no_text_and_no_number() {
    let held = |text: &str| serde_json::json!({ "$serde_json::private::RawValue": text });
    let texts = ["sub", "aud", "device", "sid"].map(|name| (name, held("\"pushmesh\"")));
    let numbers = ["exp", "nbf"].map(|name| (name, held("1")));
    let list = ("aud", serde_json::json!(["pushmesh", held("\"x\"")]));
    for (name, value) in texts.into_iter().chain(numbers).chain([list]) {
        let found = with(name, value.clone());
        assert!(matches!(found, Err(TokenError::Claims { .. })), "{name} {value}: {found:?}");
    }
}
