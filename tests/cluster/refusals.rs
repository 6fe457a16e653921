//! What a client reads that may not connect: a status, or, where a page has to read it, a close code.

use crate::harness::{Dial, Keys, Launch, Node, unique};

/// The client is told by a close code, with `pushmesh.v1` and where it asks for that, and else by the status.
async fn refused(dial: Dial<'_>, status: u16, code: &str) {
    let asking = [dial.clone().envelopes(), dial.clone().query("errors", "close")];
    for (asking, protocol) in asking.into_iter().zip([Some("pushmesh.v1"), None]) {
        let mut client = asking.open().await;
        assert_eq!(client.protocol.as_deref(), protocol);
        let (closed, reason) = client.closed().await;
        assert_eq!(closed, 4_000 + status, "{code}: {reason}");
        assert!(reason.starts_with(&format!("{code}: ")), "{code}: {reason}");
    }
    for asking in [dial.clone(), dial.envelopes()] {
        assert_eq!(asking.refused().await.error(), (status, code));
    }
}

#[tokio::test]
async fn a_client_that_is_not_understood_is_told_so() {
    let node = Node::dev(&["--origin", "https://app.example"]).await;
    let dial = || node.dial().user("u");
    refused(dial().device(&"d".repeat(65)), 400, "bad_request").await;
    refused(dial().query("resume", "nonsense"), 400, "bad_resume").await;
    refused(dial().header("origin", "https://evil.example"), 403, "forbidden").await;
    refused(node.dial(), 401, "unauthorized").await;
    // Nobody can be told as it asks that does not ask for one of the two.
    let answer = dial().query("errors", "loud").refused_as_it_asks().await;
    assert_eq!(answer.error(), (400, "bad_request"));
    assert!(answer.text().contains("`close` or `status`"), "{}", answer.text());
    assert_eq!(node.stats().await["sessions"], 0);
    let counted = |reason| format!("pushmesh_connections_refused_total{{reason=\"{reason}\"}}");
    assert_eq!(node.metric(&counted("bad_resume")).await, Some(4.0));
    assert_eq!(node.metric(&counted("forbidden")).await, Some(4.0));
}

#[tokio::test]
async fn a_client_without_a_good_token_is_told_so() {
    let keys = Keys::generate().await;
    let node = Launch::new(&unique(), "n1").flags(keys.flags()).key(&keys.api).start().await;
    node.ready().await;
    refused(node.dial().token("nonsense"), 401, "unauthorized").await;
    refused(node.dial().token(&keys.token("42")).user("43"), 403, "forbidden").await;
}

#[tokio::test]
async fn a_client_that_has_no_place_beside_others_is_told_so() {
    let node = Node::dev(&["--takeover", "reject-newer", "--max-sessions-per-user", "1"]).await;
    let _first = node.connect("u", Some("d")).await;
    refused(node.dial().user("u").device("d"), 409, "session_exists").await;
    refused(node.dial().user("u").device("e"), 429, "too_many_sessions").await;
}
