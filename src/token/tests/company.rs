//! Tokens of identity providers: in the forms in which they publish their keys, and with all that makes a token a bad one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::issuer::{Issuer, encode, set, with};
use super::{NOW_MS, NOW_S, SECRET, handmade, problem};
use crate::config::{AuthConfig, Secret};
use crate::current::Current;
use crate::limits;
use crate::token::{ClientToken, KeySet, TokenError, TokenVerifier};

fn auth(keys: &[Value]) -> AuthConfig {
    AuthConfig { jwks: vec![set(keys)], ..AuthConfig::default() }
}

fn verifier(keys: &[Value]) -> TokenVerifier {
    TokenVerifier::new(&auth(keys)).unwrap()
}

fn claims() -> Value {
    json!({ "sub": "42", "exp": NOW_S + 60 })
}

fn header(alg: &str, kid: &str) -> Value {
    json!({ "alg": alg, "typ": "JWT", "kid": kid })
}

fn verified(verifier: &TokenVerifier, token: &str) -> Result<ClientToken, TokenError> {
    verifier.verify(token, NOW_MS)
}

#[test]
fn the_sets_of_keycloak_auth0_cognito_and_azure_check_their_tokens() {
    let issuer = Issuer::new();
    let certificate = "MIICmzCCAYMCBgGTx+/=";
    let enc = json!({ "kid": "enc-1", "alg": "RSA-OAEP", "use": "enc", "x5c": [certificate], "x5t": "t", "x5t#S256": "s" });
    let keycloak = [
        with(issuer.rsa(), enc),
        with(
            issuer.rsa(),
            json!({ "kid": "rsa-1", "alg": "RS256", "use": "sig", "x5c": [certificate], "x5t#S256": "s" }),
        ),
        with(issuer.p256(), json!({ "kid": "ec-1", "alg": "ES256", "use": "sig" })),
        with(issuer.ed25519(), json!({ "kid": "ed-1", "alg": "EdDSA", "use": "sig" })),
    ];
    let rsa = |fields: Value| vec![with(issuer.rsa(), fields)];
    let auth0 =
        rsa(json!({ "use": "sig", "kid": "rsa-1", "x5t": "t", "x5c": [certificate], "alg": "RS256" }));
    let cognito = rsa(json!({ "alg": "RS256", "kid": "jB1uDYuc/+k=", "use": "sig" }));
    let azure = rsa(json!({
        "use": "sig", "kid": "rsa-1", "x5t": "rsa-1", "x5c": [certificate], "cloud_instance_name": "microsoftonline.com",
        "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"
    }));
    let cases: [(&[Value], &str, &str); 6] = [
        (&keycloak, "RS256", "rsa-1"),
        (&keycloak, "ES256", "ec-1"),
        (&keycloak, "EdDSA", "ed-1"),
        (&auth0, "RS256", "rsa-1"),
        (&cognito, "RS256", "jB1uDYuc/+k="),
        (&azure, "RS256", "rsa-1"),
    ];
    for (keys, alg, kid) in cases {
        let token = issuer.token(&header(alg, kid), &claims());
        let said = verified(&verifier(keys), &token).unwrap_or_else(|error| panic!("{alg} {kid}: {error}"));
        assert_eq!((said.user.as_str(), said.expires_unix_ms), ("42", NOW_MS + 60_000));
    }
    let token = issuer.token(&header("RS256", "enc-1"), &claims());
    assert_eq!(
        verified(&verifier(&keycloak), &token),
        Err(TokenError::UnknownKey),
        "it is not for signatures"
    );
}

#[test]
fn the_known_tokens_of_rfc_7515_have_good_signatures() {
    // RFC 7515 appendix A.2 and A.3. Their payload has no `sub`: the signature is right exactly if the claims are what fails.
    let payload =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rsa = json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC\
              gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6\
              65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW\
              yuXpoQ"
    });
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7\
                 t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi1\
                 2jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGl\
                 UPQGe77Rw";
    let p256 = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    });
    let es256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    for (key, header, signature) in
        [(rsa, "eyJhbGciOiJSUzI1NiJ9", rs256), (p256, "eyJhbGciOiJFUzI1NiJ9", es256)]
    {
        let result = verified(&verifier(&[key]), &format!("{header}.{payload}.{signature}"));
        assert!(matches!(result, Err(TokenError::Claims { .. })), "{result:?}");
    }
}

#[test]
fn a_kid_selects_the_keys_with_that_kid_and_each_of_them_is_tried() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let named = |issuer: &Issuer, kid: &str| with(issuer.p256(), json!({ "kid": kid }));
    let token = issuer.token(&header("ES256", "a"), &claims());
    let tried = |keys: &[Value]| verified(&verifier(keys), &token);
    assert!(tried(&[named(&issuer, "a")]).is_ok());
    assert!(tried(&[named(&other, "a"), named(&issuer, "a")]).is_ok(), "two have that kid");
    assert_eq!(tried(&[named(&other, "a"), named(&issuer, "b")]), Err(TokenError::Signature));
    assert_eq!(tried(&[named(&issuer, "A")]), Err(TokenError::UnknownKey));
    assert_eq!(tried(&[issuer.p256()]), Err(TokenError::UnknownKey), "a key without kid is not meant");
    assert_eq!(tried(&[with(issuer.ed25519(), json!({ "kid": "a" }))]), Err(TokenError::UnknownKey));
    let odd = issuer.token(&json!({ "alg": "ES256", "kid": ["a"] }), &claims());
    assert!(matches!(verified(&verifier(&[named(&issuer, "a")]), &odd), Err(TokenError::Header { .. })));
}

#[test]
fn a_token_without_kid_is_tried_with_a_bounded_number_of_keys_of_its_algorithm() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let token = issuer.token(&json!({ "alg": "ES256" }), &claims());
    let after = |others: usize| {
        let keys: Vec<_> = std::iter::once(issuer.ed25519())
            .chain(std::iter::repeat_n(with(other.p256(), json!({ "kid": "b" })), others))
            .chain([with(issuer.p256(), json!({ "kid": "a" }))])
            .collect();
        verified(&verifier(&keys), &token)
    };
    assert!(after(limits::TOKEN_KEYS_TRIED_MAX - 1).is_ok());
    assert_eq!(after(limits::TOKEN_KEYS_TRIED_MAX), Err(TokenError::Signature));
}

#[test]
fn a_key_checks_its_own_algorithm_only_and_no_public_key_is_a_secret() {
    let issuer = Issuer::new();
    let keys = [issuer.rsa(), issuer.p256(), issuer.ed25519()];
    let text = set(&keys);
    let both =
        TokenVerifier::new(&AuthConfig { jwt_secrets: vec![Secret::new(SECRET)], ..auth(&keys) }).unwrap();
    let field = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let public =
        [text.clone(), keys[0].to_string(), field(&keys[0], "n"), field(&keys[1], "x"), field(&keys[2], "x")];
    for secret in public {
        let token = handmade(json!({ "alg": "HS256" }), claims(), secret.as_bytes());
        assert_eq!(verified(&both, &token), Err(TokenError::Signature));
        assert_eq!(verified(&verifier(&keys), &token), Err(TokenError::Signature), "no secret is known");
    }
    let token = issuer.token(&header("ES256", "a"), &claims());
    let (_, rest) = token.split_once('.').unwrap();
    for alg in ["RS256", "EdDSA", "HS256"] {
        let renamed = format!("{}.{rest}", encode(json!({ "alg": alg }).to_string()));
        assert_eq!(verified(&both, &renamed), Err(TokenError::Signature), "{alg}");
    }
    for alg in ["none", "RS384", "RS512", "PS256", "ES384", "ES256K", "Ed25519", "rs256"] {
        let renamed = format!("{}.{rest}", encode(json!({ "alg": alg }).to_string()));
        assert_eq!(verified(&both, &renamed), Err(TokenError::Algorithm), "{alg}");
    }
}

#[test]
fn leading_zeros_of_a_modulus_do_no_harm() {
    let issuer = Issuer::new();
    let n = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        issuer.rsa()["n"].as_str().unwrap(),
    );
    let padded =
        with(issuer.rsa(), json!({ "n": encode([&[0, 0], n.unwrap().as_slice()].concat()), "e": "AAEAAQ" }));
    assert!(verified(&verifier(&[padded]), &issuer.token(&json!({ "alg": "RS256" }), &claims())).is_ok());
}

#[test]
fn keys_that_a_token_brings_itself_are_ignored() {
    let (issuer, thief) = (Issuer::new(), Issuer::new());
    let header =
        json!({ "alg": "ES256", "kid": "a", "jwk": thief.p256(), "jku": "https://thief.example/jwks.json" });
    let keys = [with(issuer.p256(), json!({ "kid": "a" }))];
    assert_eq!(verified(&verifier(&keys), &thief.token(&header, &claims())), Err(TokenError::Signature));
    assert!(verified(&verifier(&keys), &issuer.token(&header, &claims())).is_ok());
}

#[test]
fn a_token_of_another_issuer_or_for_another_audience_is_refused_whichever_key_signed_it() {
    let issuer = Issuer::new();
    let asks = AuthConfig {
        jwt_secrets: vec![Secret::new(SECRET)],
        jwt_issuer: Some("https://id.example/".to_owned()),
        jwt_audiences: vec!["push".to_owned(), "https://push.example".to_owned()],
        ..auth(&[issuer.rsa()])
    };
    let verifier = TokenVerifier::new(&asks).unwrap();
    let both = |claims: &Value| {
        let public = verified(&verifier, &issuer.token(&json!({ "alg": "RS256" }), claims));
        let secret =
            verified(&verifier, &handmade(json!({ "alg": "HS256" }), claims.clone(), SECRET.as_bytes()));
        assert_eq!(public, secret);
        public
    };
    let good = with(claims(), json!({ "iss": "https://id.example/", "aud": "push" }));
    assert!(both(&good).is_ok());
    assert!(both(&with(good.clone(), json!({ "aud": ["other", "https://push.example"] }))).is_ok());
    let (iss, aud) = (good["iss"].clone(), good["aud"].clone());
    assert!(problem(both(&with(claims(), json!({ "aud": aud })))).contains("iss is missing"));
    assert!(problem(both(&with(claims(), json!({ "iss": iss })))).contains("aud is missing"));
    for iss in [
        json!("https://id.example"),
        json!("https://ID.example/"),
        json!(["https://id.example/"]),
        json!(null),
    ] {
        assert!(problem(both(&with(good.clone(), json!({ "iss": iss })))).contains("iss is not"), "{iss}");
    }
    for aud in [json!("pushmesh"), json!("Push"), json!([]), json!("")] {
        assert!(
            problem(both(&with(good.clone(), json!({ "aud": aud })))).contains("aud names none"),
            "{aud}"
        );
    }
    assert!(problem(both(&with(good, json!({ "aud": 5 })))).contains("aud"));
}

#[test]
fn keys_that_are_fetched_count_from_when_they_are_there() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let fetched = Arc::new(Current::new(KeySet::default()));
    let auth = AuthConfig { jwt_secrets: vec![Secret::new(SECRET)], ..AuthConfig::default() };
    let verifier = TokenVerifier::new(&auth).unwrap().with_fetched(Arc::clone(&fetched));
    let named = |issuer: &Issuer, kid: &str| with(issuer.p256(), json!({ "kid": kid }));
    let tokens =
        [header("ES256", "a"), json!({ "alg": "ES256" })].map(|header| issuer.token(&header, &claims()));
    for token in &tokens {
        assert_eq!(verified(&verifier, token), Err(TokenError::UnknownKey));
    }
    let wrong = handmade(json!({ "alg": "HS256", "kid": "a" }), claims(), b"another secret");
    assert_eq!(verified(&verifier, &wrong), Err(TokenError::Signature), "no fetch brings a secret");
    fetched.replace(KeySet::parse(set(&[named(&issuer, "a")]).as_bytes()).unwrap());
    for token in &tokens {
        assert!(verified(&verifier, token).is_ok());
    }
    fetched.replace(KeySet::parse(set(&[named(&other, "b")]).as_bytes()).unwrap());
    assert_eq!(
        tokens.map(|token| verified(&verifier, &token)),
        [Err(TokenError::UnknownKey), Err(TokenError::Signature)]
    );
}

#[test]
fn a_set_of_no_use_is_refused_with_its_reason() {
    let enc = with(Issuer::new().rsa(), json!({ "use": "enc" }));
    let error = TokenVerifier::new(&auth(&[enc])).err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        error,
        "a key set has no key for tokens with RS256, ES256 or EdDSA among its 1; the first one: its use is not sig"
    );
}
