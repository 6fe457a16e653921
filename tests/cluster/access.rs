//! Who may push and who may connect.

use serde_json::json;

use crate::harness::{Keys, Launch, Node, eventually, now_unix, same, sign_hs256, unique};

/// A node with keys.
async fn node(keys: &Keys) -> Node {
    let node = Launch::new(&unique(), "n1").flags(keys.flags()).key(&keys.api).start().await;
    node.ready().await;
    node
}

#[tokio::test]
async fn the_api_is_for_those_with_a_key() {
    let keys = Keys::generate().await;
    let node = node(&keys).await;
    assert_eq!(node.get("/v1/stats").await.status, 200);
    let almost = format!("{}x", keys.api);
    for key in [None, Some("wrong"), Some(almost.as_str()), Some("")] {
        let http = node.http.with_key(key);
        let calls = [
            ("POST", "/v1/users/u/push"),
            ("POST", "/v1/users/u/devices/d/push"),
            ("POST", "/v1/broadcast"),
            ("POST", "/v1/push"),
            ("GET", "/v1/users/u"),
            ("DELETE", "/v1/users/u"),
            ("DELETE", "/v1/users/u/devices/d"),
            ("GET", "/v1/sessions"),
            ("GET", "/v1/stats"),
            ("GET", "/v1/nodes"),
        ];
        for (method, path) in calls {
            let answer = http.call(method, path, &[], "x").await;
            assert_eq!(answer.error(), (401, "unauthorized"), "{method} {path} with {key:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
            assert_eq!(http.call("GET", path, &[], "").await.status, 200, "{path} is for everybody");
        }
    }
    let client_token = node.http.with_key(Some(&keys.token("u"))).call("GET", "/v1/stats", &[], "").await;
    assert_eq!(client_token.error(), (401, "unauthorized"), "a client's token is no API key");
}

#[tokio::test]
async fn a_client_connects_with_a_signed_token_in_the_query_or_in_a_header() {
    let keys = Keys::generate().await;
    let node = node(&keys).await;
    let claims = json!({ "sub": "42", "exp": now_unix() + 60 });
    let tokens = [keys.hs256(&claims), keys.eddsa(&claims)];
    let by_command = [
        ["token", "--user", "42", "--jwt-secret-file", &keys.flag("jwt.secret")].map(str::to_owned),
        ["token", "--user", "42", "--jwt-private-key-file", &keys.flag("jwt.private.pem")].map(str::to_owned),
    ];
    let mut clients = Vec::new();
    for token in &tokens {
        clients.push(node.dial().token(token).open().await);
        clients.push(node.dial().header("authorization", &format!("Bearer {token}")).open().await);
    }
    for command in by_command {
        let made = crate::harness::pushmesh(&command).await;
        assert_eq!(made.code, 0, "{made:?}");
        clients.push(node.dial().token(made.stdout.trim()).open().await);
    }
    let answer = node.push("42", "hello").await;
    assert_eq!(answer.json["delivered"], clients.len(), "{answer:?}");
    for client in &mut clients {
        assert_eq!(client.next_text().await, "hello");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused() {
    let keys = Keys::generate().await;
    let node = node(&keys).await;
    let good = json!({ "sub": "42", "exp": now_unix() + 60 });
    let bad = [
        ("expired", keys.hs256(&json!({ "sub": "42", "exp": now_unix() - 1 }))),
        ("expired", keys.eddsa(&json!({ "sub": "42", "exp": now_unix() - 1 }))),
        ("signature", sign_hs256("another-secret-of-at-least-32-bytes", &good)),
        (
            "signature",
            sign_hs256(&std::fs::read_to_string(keys.path("jwt.public.pem")).expect("it is there"), &good),
        ),
        ("malformed", "nonsense".to_owned()),
        // {"alg":"none"} and an empty signature.
        (
            "alg",
            format!("eyJhbGciOiJub25lIn0.{}.", keys.hs256(&good).split('.').nth(1).expect("it has claims")),
        ),
        ("exp", keys.hs256(&json!({ "sub": "42" }))),
        ("milliseconds", keys.hs256(&json!({ "sub": "42", "exp": (now_unix() + 60) * 1_000 }))),
        ("--max-token-lifetime", keys.eddsa(&json!({ "sub": "42", "exp": now_unix() + 367 * 86_400 }))),
        ("object", keys.hs256(&json!(["42", null, now_unix() + 60, null]))),
        ("aud", keys.hs256(&json!({ "sub": "42", "exp": now_unix() + 60, "aud": ["pushmesh", 5] }))),
        ("aud", keys.hs256(&json!({ "sub": "42", "exp": now_unix() + 60, "aud": true }))),
        ("crit", keys.with_header(&json!({ "alg": "HS256", "crit": ["x"], "x": 1 }), &good)),
        ("b64", keys.with_header(&json!({ "alg": "HS256", "b64": false }), &good)),
        ("sub", keys.hs256(&json!({ "sub": "", "exp": now_unix() + 60 }))),
    ];
    for (why, token) in bad {
        let answer = node.dial().token(&token).refused().await;
        assert_eq!(answer.error(), (401, "unauthorized"), "{why}");
        assert!(answer.text().contains(why), "{why}: {}", answer.text());
        assert!(!answer.text().contains(&token), "a token is not repeated");
    }
    // What is not listed means nothing, whatever it is.
    let odd = json!({ "sub": "7", "exp": now_unix() + 60, "iat": "soon", "jti": [1], "scope": null });
    node.dial().token(&keys.hs256(&odd)).open().await.close().await;
    let nothing = node.dial().refused().await;
    assert_eq!(nothing.error(), (401, "unauthorized"));
    let only_user = node.dial().user("42").refused().await;
    assert_eq!(only_user.error(), (401, "unauthorized"));
    assert!(only_user.text().contains("--dev"), "{}", only_user.text());
    let other_user = node.dial().token(&keys.token("42")).user("43").refused().await;
    assert_eq!(other_user.error(), (403, "forbidden"));
    eventually("the good one is gone", async || same(node.stats().await["sessions"].clone(), json!(0))).await;
    assert!(!node.process.stderr().contains("nonsense"), "tokens are not logged");
}

#[tokio::test]
async fn a_token_with_a_device_is_good_for_that_device_only() {
    let keys = Keys::generate().await;
    let node = node(&keys).await;
    let token = keys.hs256(&json!({ "sub": "42", "device": "phone", "exp": now_unix() + 60 }));
    let other = node.dial().token(&token).device("tablet").refused().await;
    assert_eq!(other.error(), (403, "forbidden"));
    let mut first = node.dial().token(&token).open().await;
    node.shows("42", &[("phone", "n1")]).await;
    let _second = node.dial().token(&token).device("phone").open().await;
    assert_eq!(first.closed().await.0, 4001, "it is the same key");
    node.shows("42", &[("phone", "n1")]).await;
}

#[tokio::test]
async fn a_session_ends_with_4003_when_its_token_expires() {
    let keys = Keys::generate().await;
    let node = node(&keys).await;
    let expiry = now_unix() + 2;
    let mut client = node.dial().token(&keys.hs256(&json!({ "sub": "42", "exp": expiry }))).open().await;
    let mut other = node.dial().token(&keys.token("43")).open().await;
    let (code, reason) = client.closed().await;
    assert!(code == 4003 && reason.contains("retry_ms"), "{code} {reason}");
    assert!((expiry..=expiry + 6).contains(&now_unix()), "not before, and within 5 s");
    node.shows("42", &[]).await;
    assert_eq!(node.push("43", "still good").await.json["delivered"], 1);
    assert_eq!(other.next_text().await, "still good");
}

#[tokio::test]
async fn a_browser_connects_from_the_listed_origins_only() {
    let origins = [
        "--origin",
        "https://APP.example:443/",
        "--origin",
        "http://localhost:3000",
        "--origin",
        "https://*.app.example",
    ];
    let node = Launch::dev(&unique(), "n1").flags(origins).start().await;
    node.ready().await;
    let others = [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://b.a.app.example",
        "https://aapp.example",
        "null",
    ];
    for origin in others {
        let answer = node.dial().user("u").header("origin", origin).refused().await;
        assert_eq!(answer.error(), (403, "forbidden"), "{origin}");
    }
    let _listed = node.dial().user("u").header("origin", "https://app.example").open().await;
    for (origin, reads) in [("https://app.example", true), ("https://evil.example", false)] {
        let answer = node.http.call("GET", "/readyz", &[("origin", origin)], "").await;
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!((answer.status, allowed), (200, reads.then_some(origin)), "{origin}");
    }
    let _with_port = node.dial().user("u").header("origin", "http://localhost:3000").open().await;
    let _one_label = node.dial().user("u").header("origin", "https://a.app.example").open().await;
    let _no_browser = node.dial().user("u").open().await;
    assert_eq!(node.stats().await["sessions"], 4);
    let node = Launch::dev(&unique(), "n1").flags(["--origin", "null"]).start().await;
    node.ready().await;
    let _file = node.dial().user("u").header("origin", "null").open().await;
    let page = node.dial().user("u").header("origin", "https://app.example").refused().await;
    assert_eq!(page.error(), (403, "forbidden"));
}
