//! Addresses, exit codes and texts of `pushmesh push`.

use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::post;
use clap::{Args, Command, FromArgMatches};
use futures_util::StreamExt;
use tokio::net::TcpListener;

use super::address::*;
use super::lines::Tally;
use super::report::*;
use super::*;
use crate::cli::client::Answer;

/// Runs `pushmesh push` against a server that has one route.
async fn push(path: &str, handler: axum::routing::MethodRouter, flags: &[&str]) -> anyhow::Result<Exit> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--url=http://{}", listener.local_addr().unwrap());
    let router = Router::new().route(path, handler);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let command = PushArgs::augment_args(Command::new("push").no_binary_name(true));
    let matches = command.try_get_matches_from([&[url.as_str()], flags].concat()).unwrap();
    run(PushArgs::from_arg_matches(&matches).unwrap()).await
}

#[tokio::test]
async fn a_message_travels_with_its_key_its_id_and_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("api.key");
    std::fs::write(&key, "# k\nthe-key\n").unwrap();
    let handler = |headers: HeaderMap, body: String| async move {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("authorization"), "Bearer the-key");
        assert_eq!(header("idempotency-key"), "m1");
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(body, "hello");
        r#"{"id":"m1","delivered":1,"sessions":[{"device":"d","node":"n1","outcome":"delivered"}]}"#
    };
    let key = format!("--api-key-file={}", key.display());
    let flags = ["--to", "user/a b/d", "hello", "--id", "m1", "--binary", key.as_str()];
    assert_eq!(
        push("/v1/users/{user}/devices/{device}/push", post(handler), &flags).await.unwrap(),
        Exit::Done
    );
}

#[tokio::test]
async fn lines_are_answered_while_they_are_sent() {
    // More than the buffers of both sockets: a client that sends all before it reads would wait
    // for ever, because this server reads no further than it has answered.
    const LINES: u64 = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    std::fs::write(
        &path,
        "{\"to\":\"all\",\"data\":\"some text of a certain length\"}\n".repeat(LINES as usize),
    )
    .unwrap();
    let handler = |body: Body| async move {
        let mut line = 0;
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let chunk = chunk?;
            let mut answers = String::new();
            for _ in chunk.iter().filter(|byte| **byte == b'\n') {
                line += 1;
                let session = r#"{"device":"a device","node":"n1","outcome":"delivered"}"#;
                let head = format!(r#"{{"line":{line},"id":"m{line}","delivered":1,"outcome":"delivered""#);
                answers += &format!("{head},\"sessions\":[{session}]}}\n");
            }
            if line == LINES {
                answers +=
                    r#"{"line":1,"error":{"code":"no_session","message":"the last, without newline"}}"#;
            }
            Ok::<_, axum::Error>(answers)
        }))
    };
    let path = format!("--lines={}", path.display());
    let flags = [path.as_str()];
    let pushed = push("/v1/push", post(handler), &flags);
    let exit = tokio::time::timeout(Duration::from_secs(60), pushed).await.expect("a deadlock").unwrap();
    assert_eq!(exit, Exit::NoSession, "the last answer counts");
}

/// The server answers before it reads the body and closes, so that sending the rest fails.
#[tokio::test]
async fn a_refused_stream_says_why() {
    let handler =
        || async { (hyper::StatusCode::UNAUTHORIZED, r#"{"error":{"code":"unauthorized","message":"no"}}"#) };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    std::fs::write(&path, "{}\n").unwrap();
    let path = format!("--lines={}", path.display());
    let error = push("/v1/push", post(handler), &[path.as_str()]).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "unauthorized: no (status 401)");
}

fn answered(status: u16, body: &str, to: &str) -> (Exit, Vec<String>) {
    let status = hyper::StatusCode::from_u16(status).unwrap();
    let answer = Answer { status, body: Bytes::from(body.to_owned()) };
    let report = Report::of(&answer, &to.parse().unwrap());
    (judge(&answer, &report), describe(&report))
}

/// As above, with one body that is far larger than the buffers of a socket.
#[tokio::test]
async fn a_refused_payload_says_why() {
    let handler = || async {
        (hyper::StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":{"code":"payload_too_large","message":"no"}}"#)
    };
    // An argument of a process could not be as large; here it is none.
    let data = "x".repeat(32 << 20);
    let flags = ["--to", "user/42", data.as_str()];
    assert_eq!(push("/v1/users/{user}/push", post(handler), &flags).await.unwrap(), Exit::Error);
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_is_an_error_and_no_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--url=http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let data = "x".repeat(1 << 20);
    let command = PushArgs::augment_args(Command::new("push").no_binary_name(true));
    let matches = command.try_get_matches_from([url.as_str(), "--to", "all", data.as_str()]).unwrap();
    let pushed = run(PushArgs::from_arg_matches(&matches).unwrap());
    let error = tokio::time::timeout(Duration::from_secs(10), pushed).await.expect("it waits").unwrap_err();
    assert!(format!("{error:#}").starts_with("no answer from http://127.0.0.1:"), "{error:#}");
}

#[test]
fn a_target_is_a_user_a_device_or_all() {
    let path = |text: &str| Address::from_str(text).unwrap().path(None);
    assert_eq!(path("all"), "/v1/broadcast");
    assert_eq!(path("user/42"), "/v1/users/42/push");
    assert_eq!(path("user/42/my phone"), "/v1/users/42/devices/my%20phone/push");
    assert_eq!(path("user/a%2Fb%"), "/v1/users/a%2Fb%25/push");
    for (wait, query) in [
        (Wait::Receipt, "?wait=receipt"),
        (Wait::Stored, "?wait=stored"),
        (Wait::Acked, "?wait=acked"),
        (Wait::None, "?wait=none"),
    ] {
        assert_eq!(Address::All.path(Some(wait)), format!("/v1/broadcast{query}"));
    }
    for wrong in ["", "42", "users/42", "user/", "user/42/", "user/a/b/c", "device/1"] {
        assert!(Address::from_str(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_push_that_reached_one_session_is_delivered() {
    let body = r#"{"id":"m1","delivered":1,"sessions":[{"device":"phone","node":"n2","outcome":"delivered"},
        {"device":"old","node":null,"outcome":"unreachable"}],"new":1}"#;
    let (exit, lines) = answered(200, body, "user/42");
    assert_eq!(exit, Exit::Done);
    let expected = [
        "delivered to 1 of 2 sessions, id m1",
        "DEVICE  NODE  OUTCOME",
        "phone   n2    delivered",
        "old           unreachable",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn copies_are_told_and_a_message_that_is_not_stored_is_not_done() {
    let body = r#"{"id":"m1","delivered":1,"sessions":[{"device":"phone","node":"n2","outcome":"delivered","copies":2}]}"#;
    let (exit, lines) = answered(200, body, "user/42");
    assert_eq!((exit, lines[2].as_str()), (Exit::Done, "phone   n2    delivered, copies at other nodes: 2"));
    let body = r#"{"error":{"code":"not_stored","message":"m"},"id":"m1","delivered":1,
        "sessions":[{"device":"phone","node":"n2","outcome":"delivered"}]}"#;
    let (exit, lines) = answered(504, body, "user/42");
    assert_eq!((exit, lines[2].as_str()), (Exit::NotDelivered, "phone   n2    delivered"));
    assert_eq!(by_word("not_stored"), Exit::NotDelivered);
}

#[test]
fn exit_codes_tell_outcomes_apart() {
    let error = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
    assert_eq!(answered(404, &error("no_session"), "user/42").0, Exit::NoSession);
    assert_eq!(answered(503, &error("overloaded"), "user/42").0, Exit::NotDelivered);
    assert_eq!(answered(504, &error("unreachable"), "user/42").0, Exit::NotDelivered);
    for cannot_know in ["isolated", "not_ready"] {
        assert_eq!(answered(503, &error(cannot_know), "user/42").0, Exit::NotDelivered, "{cannot_know}");
    }
    assert_eq!(answered(401, &error("unauthorized"), "user/42").0, Exit::Error);
    assert_eq!(answered(502, "{}", "user/42").0, Exit::Error);
    assert_eq!(answered(202, r#"{"id":"m"}"#, "user/42").0, Exit::Done);
    let buffered = r#"{"id":"m","delivered":0,"sessions":[{"device":"d","node":"n","outcome":"buffered"}]}"#;
    assert_eq!(answered(200, buffered, "user/42").0, Exit::NotDelivered);
}

#[test]
fn a_broadcast_is_done_when_every_node_answered_and_somebody_was_there() {
    let body = |delivered: u64, overloaded: u64, outcome: &str| {
        format!(
            r#"{{"id":"m","delivered":{delivered},"buffered":0,"overloaded":{overloaded},"interrupted":0,"id_reused":0,
            "nodes":[{{"node":"n1","outcome":"{outcome}","delivered":{delivered},"buffered":0,"overloaded":{overloaded},
            "interrupted":0,"id_reused":0}}]}}"#
        )
    };
    assert_eq!(answered(200, &body(3, 1, "answered"), "all").0, Exit::Done);
    assert_eq!(answered(200, &body(3, 0, "unreachable"), "all").0, Exit::NotDelivered);
    assert_eq!(answered(200, &body(0, 1, "answered"), "all").0, Exit::NotDelivered);
    assert_eq!(answered(200, &body(0, 0, "answered"), "all").0, Exit::NoSession);
    let (_, lines) = answered(200, &body(1_500, 1, "answered"), "all");
    assert_eq!(lines[0], "delivered to 1,500 sessions, 1 overloaded, id m");
}

#[test]
fn a_stream_of_lines_ends_with_the_worst_outcome_and_a_summary() {
    let answer = |text: &str| serde_json::from_str::<crate::gateway::schema::AnyLine>(text).unwrap();
    let delivered = answer(r#"{"line":1,"id":"a","delivered":2,"outcome":"delivered","sessions":[]}"#);
    let nobody = answer(r#"{"line":2,"error":{"code":"no_session","message":"not connected"}}"#);
    let full = answer(r#"{"line":3,"id":"c","delivered":0,"outcome":"overloaded","sessions":[]}"#);
    let broken = answer(r#"{"line":4,"error":{"code":"invalid","message":"no data"}}"#);
    let mut tally = Tally::default();
    assert_eq!(tally.exit(), Exit::Done);
    assert_eq!(tally.problem(&delivered), None);
    assert_eq!(tally.problem(&nobody).as_deref(), Some("line 2: no_session: not connected"));
    let steps = [
        (&delivered, Exit::Done),
        (&nobody, Exit::NoSession),
        (&full, Exit::NotDelivered),
        (&broken, Exit::Error),
    ];
    for (answer, exit) in steps {
        tally.add(answer);
        assert_eq!(tally.exit(), exit);
    }
    assert_eq!(
        tally.summary(Duration::from_secs(2)),
        "4 messages in 2.0 s (2/s): 1 delivered, 1 invalid, 1 no_session, 1 overloaded"
    );
    (0..20).for_each(|_| tally.add(&full));
    assert_eq!(tally.problem(&full), None, "only the first few are shown");
}
