//! Which clients show what they need, which do not, and what those are told.

use axum::http::{HeaderValue, header};
use futures_util::FutureExt;

use super::*;
use crate::config::{AuthConfig, Secret};
use crate::gateway::error::ApiError;
use crate::token::{Claims, sign_hs256};

fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
}

struct Case {
    access: Access,
    resume: ResumeKey,
    metrics: Metrics,
}

impl Case {
    fn new(dev: bool) -> Self {
        let auth = AuthConfig {
            dev,
            jwt_secrets: vec![Secret::new(SECRET)],
            origins: ["https://app.example:443", "https://*.app.example"]
                .map(|o| o.parse().unwrap())
                .to_vec(),
            ..AuthConfig::default()
        };
        let access = Access::new(&auth, None).unwrap();
        Self { access, resume: ResumeKey::new(&[7; 32]), metrics: Metrics::new() }
    }

    fn verification(&self) -> Verification<'_> {
        let Self { access, resume, metrics } = self;
        Verification { access, login_keys: None, resume, now_ms: 1_000, metrics, keep_max: 300 }
    }

    fn connect(&self, headers: &HeaderMap, query: &[(&str, &str)]) -> Result<Client, &'static str> {
        let find = |name| query.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let params = ConnectParams {
            token: find("token"),
            user: find("user"),
            device: find("device"),
            resume: find("resume"),
            keep: find("keep"),
            after: find("after"),
            errors: find("errors"),
        };
        let random = || DeviceId::new("random").unwrap();
        let verification = self.verification();
        let client = verification.client(headers, params, random).now_or_never();
        client.expect("nothing is waited for").map_err(|refusal| ApiError::from(refusal).code())
    }

    /// Refused credentials of any kind.
    fn failures(&self) -> u64 {
        let text = self.metrics.render();
        let counts = text.lines().filter_map(|line| line.strip_prefix("pushmesh_auth_failures_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

fn token(user: &str, device: Option<&str>, exp: u64) -> String {
    let claims = Claims {
        sub: user.to_owned(),
        device: device.map(str::to_owned),
        exp,
        iat: None,
        nbf: None,
        sid: None,
    };
    sign_hs256(&Secret::new(SECRET), &claims)
}

fn key(user: &str, device: &str) -> SessionKey {
    SessionKey::new(UserId::new(user).unwrap(), DeviceId::new(device).unwrap())
}

#[test]
fn a_token_names_the_user_wherever_it_is_shown() {
    let case = Case::new(false);
    let token = token("42", None, 10);
    let expected = Client {
        key: key("42", "phone"),
        expires_unix_ms: Some(10_000),
        resumed: None,
        kept: None,
        login: None,
    };
    let in_url = case.connect(&HeaderMap::new(), &[("token", &token), ("device", "phone")]);
    assert_eq!(in_url, Ok(expected));
    let in_header =
        case.connect(&headers(header::AUTHORIZATION, &format!("Bearer {token}")), &[("device", "phone")]);
    assert_eq!(in_header.unwrap().key, key("42", "phone"));
}

#[test]
fn the_device_is_the_chosen_one_then_the_tokens_then_a_random_one() {
    let case = Case::new(false);
    let free = token("42", None, 10);
    let bound = token("42", Some("phone"), 10);
    let none = HeaderMap::new();
    assert_eq!(case.connect(&none, &[("token", &free)]).unwrap().key, key("42", "random"));
    assert_eq!(case.connect(&none, &[("token", &bound)]).unwrap().key, key("42", "phone"));
    assert_eq!(
        case.connect(&none, &[("token", &bound), ("device", "phone")]).unwrap().key,
        key("42", "phone")
    );
    assert_eq!(case.connect(&none, &[("token", &bound), ("device", "tablet")]), Err("forbidden"));
    assert_eq!(case.connect(&none, &[("token", &free), ("device", "")]), Err("bad_request"));
}

#[test]
fn a_resume_token_brings_its_stamp_and_its_device() {
    let case = Case::new(true);
    let none = HeaderMap::new();
    let resume = case.resume.sign(&key("42", "phone"), Stamp::from_raw(7), None);
    let resumed =
        |query: &[(&str, &str)]| case.connect(&none, &[query, &[("resume", resume.as_str())]].concat());
    let expected = Client {
        key: key("42", "phone"),
        expires_unix_ms: None,
        resumed: Some(Stamp::from_raw(7)),
        kept: None,
        login: None,
    };
    assert_eq!(resumed(&[("user", "42")]), Ok(expected), "not the random device");
    assert_eq!(resumed(&[("user", "42"), ("device", "phone")]).unwrap().key, key("42", "phone"));
    let bound = token("42", Some("phone"), 10);
    assert_eq!(resumed(&[("token", &bound)]).unwrap().resumed, Some(Stamp::from_raw(7)));
}

#[test]
fn the_login_is_that_of_the_token() {
    let case = Case::new(false);
    let sid = Some("s1".to_owned());
    let claims = Claims { sub: "42".to_owned(), device: None, exp: 10, iat: None, nbf: None, sid };
    let token = sign_hs256(&Secret::new(SECRET), &claims);
    let resume = case.resume.sign(&key("42", "phone"), Stamp::from_raw(7), None);
    for query in [&[("token", token.as_str())][..], &[("token", &token), ("resume", &resume)]] {
        let login = case.connect(&HeaderMap::new(), query).unwrap().login;
        assert_eq!(login, LoginId::new("s1").ok());
    }
}

#[test]
fn a_resume_token_of_another_device_or_user_is_refused() {
    let case = Case::new(true);
    let none = HeaderMap::new();
    let resume = case.resume.sign(&key("42", "phone"), Stamp::from_raw(7), None);
    let resumed =
        |query: &[(&str, &str)]| case.connect(&none, &[query, &[("resume", resume.as_str())]].concat());
    assert_eq!(resumed(&[("user", "42"), ("device", "tablet")]), Err("forbidden"));
    assert_eq!(resumed(&[("token", &token("42", Some("tablet"), 10))]), Err("forbidden"));
    assert_eq!(case.failures(), 0, "the token itself was good");
    assert_eq!(resumed(&[("user", "43")]), Err("bad_resume"));
    assert_eq!(resumed(&[("token", &token("43", None, 10))]), Err("bad_resume"));
    assert_eq!(case.failures(), 2);
}

#[test]
fn a_resume_token_that_is_none_is_refused_and_counted_and_does_not_stand_for_a_client_token() {
    let none = HeaderMap::new();
    for bad in ["", "nonsense", "AQ", "\u{fc}"] {
        let case = Case::new(true);
        assert_eq!(case.connect(&none, &[("user", "42"), ("resume", bad)]), Err("bad_resume"), "{bad}");
        assert_eq!(case.failures(), 1, "{bad}");
    }
    let case = Case::new(false);
    let resume = case.resume.sign(&key("42", "phone"), Stamp::from_raw(7), None);
    assert_eq!(case.connect(&none, &[("user", "42"), ("resume", &resume)]), Err("unauthorized"));
    assert_eq!(case.connect(&none, &[("token", &resume)]), Err("unauthorized"));
}

#[test]
fn a_user_without_token_is_for_development_only() {
    let none = HeaderMap::new();
    let query = [("user", "42"), ("device", "d")];
    let expected =
        Client { key: key("42", "d"), expires_unix_ms: None, resumed: None, kept: None, login: None };
    assert_eq!(Case::new(true).connect(&none, &query), Ok(expected));
    assert_eq!(Case::new(false).connect(&none, &query), Err("unauthorized"));
    assert_eq!(Case::new(true).connect(&none, &[]), Err("unauthorized"));
}

#[test]
fn a_bad_token_is_refused_also_in_development_and_is_counted() {
    let case = Case::new(true);
    let none = HeaderMap::new();
    assert_eq!(case.connect(&none, &[("token", "x"), ("user", "42")]), Err("unauthorized"));
    assert_eq!(case.connect(&none, &[("token", &token("42", None, 1))]), Err("unauthorized"));
    assert_eq!(case.connect(&none, &[("token", &token("42", None, 9)), ("user", "7")]), Err("forbidden"));
    let text = case.metrics.render();
    assert!(text.contains("pushmesh_auth_failures_total{kind=\"token_malformed\"} 1"));
    assert!(text.contains("pushmesh_auth_failures_total{kind=\"token_expired\"} 1"));
}

#[test]
fn a_browser_connects_from_a_listed_origin_only() {
    let case = Case::new(false);
    let origin = |value| case.verification().origin(&headers(header::ORIGIN, value));
    for listed in ["https://app.example", "HTTPS://app.example:443", "https://a.app.example"] {
        assert!(origin(listed).is_ok(), "{listed}");
    }
    for other in ["null", "https://b.a.app.example", "https://app.example https://app.example", ""] {
        assert_eq!(ApiError::from(origin(other).unwrap_err()).code(), "forbidden", "{other}");
    }
    assert_eq!(ApiError::from(origin("https://app.example.evil").unwrap_err()).code(), "forbidden");
    assert!(case.verification().origin(&HeaderMap::new()).is_ok(), "only browsers send an origin");
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";
