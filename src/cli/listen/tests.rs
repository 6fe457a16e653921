//! Decisions of `pushmesh listen`, and the whole of it against a server made by hand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Query;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;
use crate::cli::server::ServerArgs;

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

fn args(addr: SocketAddr, count: u64, json: bool) -> ListenArgs {
    ListenArgs {
        server: ServerArgs { url: format!("http://{addr}").parse().unwrap(), ca_file: None },
        user: Some(UserId::new("42").unwrap()),
        device: None,
        token: None,
        count: Some(count),
        keep: None,
        json,
    }
}

#[tokio::test]
async fn a_restarting_server_is_found_again_and_the_count_goes_on() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let handler = move |upgrade: WebSocketUpgrade| async move {
        let turn = counter.fetch_add(1, Ordering::SeqCst);
        // The second attempt meets a server that is not ready yet.
        if turn == 1 {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        upgrade.protocols(["pushmesh.v1"]).on_upgrade(move |mut socket| async move {
            let message = format!(r#"{{"type":"message","id":"m{turn}","data":"x"}}"#);
            socket.send(Frame::text(message)).await.unwrap();
            let reason = r#"{"retry_ms":1}"#.into();
            let _ = socket.send(Frame::Close(Some(CloseFrame { code: 1_012, reason }))).await;
        })
    };
    let addr = serve(Router::new().route("/v1/ws", get(handler))).await;
    assert_eq!(run(args(addr, 2, true)).await.unwrap(), Exit::Done);
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_reconnect_shows_the_resume_token_of_the_last_welcome_until_one_is_refused() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let handler = move |Query(query): Query<HashMap<String, String>>, upgrade: WebSocketUpgrade| async move {
        let turn = {
            let mut log = log.lock().unwrap();
            log.push(query.get("resume").cloned());
            log.len()
        };
        match turn {
            2 => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
            // The device is still connected somewhere, and then the key has changed.
            3 => return StatusCode::CONFLICT.into_response(),
            5 => {
                let body = r#"{"error":{"code":"bad_resume","message":"x"}}"#;
                return (StatusCode::BAD_REQUEST, body).into_response();
            }
            _ => {}
        }
        upgrade.protocols(["pushmesh.v1"]).on_upgrade(move |mut socket| async move {
            let session = r#""user":"42","device":"d","node":"n1","session":"7""#;
            let welcome = format!(r#"{{"type":"welcome",{session},"resume":"token &{turn}"}}"#);
            socket.send(Frame::text(welcome)).await.unwrap();
            socket.send(Frame::text(r#"{"type":"message","id":"m","data":"x"}"#)).await.unwrap();
            let frame = CloseFrame { code: 1_012, reason: r#"{"retry_ms":1}"#.into() };
            let _ = socket.send(Frame::Close(Some(frame))).await;
        })
    };
    let addr = serve(Router::new().route("/v1/ws", get(handler))).await;
    assert_eq!(run(args(addr, 3, true)).await.unwrap(), Exit::Done);
    let first = Some("token &1".to_owned());
    let second = Some("token &4".to_owned());
    let expected = [None, first.clone(), first.clone(), first, second, None];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_close_that_is_no_restart_ends_it_with_an_error() {
    let handler = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(|mut socket| async move {
            let frame = CloseFrame { code: 4_001, reason: "superseded".into() };
            let _ = socket.send(Frame::Close(Some(frame))).await;
        })
    };
    let addr = serve(Router::new().route("/v1/ws", get(handler))).await;
    assert_eq!(run(args(addr, 1, false)).await.unwrap(), Exit::Error);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_server() {
    async fn handler(headers: HeaderMap) -> Response {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("none");
        let message = format!("token {token} expired");
        let body = format!(r#"{{"error":{{"code":"unauthorized","message":"{message}"}}}}"#);
        (StatusCode::UNAUTHORIZED, body).into_response()
    }
    let addr = serve(Router::new().route("/v1/ws", get(handler))).await;
    let args = ListenArgs { token: Some(Secret::new("t0")), ..args(addr, 1, false) };
    let error = format!("{:#}", run(args).await.unwrap_err());
    let expected = format!("refused by http://{addr}: unauthorized: token Bearer t0 expired (status 401)");
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_closed_port_is_told_with_a_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = format!("{:#}", run(args(addr, 1, false)).await.unwrap_err());
    assert!(
        error.starts_with(&format!("no pushmesh node answers at http://{addr}; start one with")),
        "{error}"
    );
}

#[test]
fn a_restart_is_followed_by_a_reconnect_after_the_pause_that_the_server_chose() {
    let pause = |ms| Next::Reconnect { pause: Duration::from_millis(ms) };
    assert_eq!(after_close(1_012, r#"{"retry_ms":250}"#, false), pause(250));
    assert_eq!(after_close(1_013, r#"{"retry_ms":250,"why":"full"}"#, false), pause(250));
    assert_eq!(after_close(1_012, "restarting", false), pause(1_000));
    assert_eq!(after_close(1_012, r#"{"retry_ms":99999999}"#, false), pause(60_000));
}

#[test]
fn any_other_close_ends_it() {
    assert_eq!(after_close(1_000, "bye", false), Next::End(Exit::Done));
    for code in [1_001, 1_008, 1_009, 4_001, 4_002, 4_003, 4_004] {
        assert_eq!(after_close(code, "", false), Next::End(Exit::Error), "{code}");
    }
}

fn message(line: &str) -> Heard {
    Heard::Message { line: line.to_owned(), place: None }
}

#[test]
fn payloads_are_printed_as_they_are_and_binary_ones_as_base64() {
    assert_eq!(heard(&Message::text("hello"), Form::Payload).unwrap(), message("hello"));
    assert_eq!(heard(&Message::binary(vec![1, 2]), Form::Payload).unwrap(), message("base64:AQI="));
}

#[test]
fn of_the_envelopes_only_messages_are_printed_each_on_one_line() {
    let hear = |text: &str| heard(&Message::text(text), Form::Json).unwrap();
    let text = "{\"type\":\"message\",\n \"id\":\"m1\",\"data\":\"a\\nb\"}";
    assert_eq!(hear(text), message("{\"type\":\"message\",  \"id\":\"m1\",\"data\":\"a\\nb\"}"));
    let welcome = |resume: Option<&str>| Heard::Welcome {
        resume: resume.map(str::to_owned),
        segment: None,
        number: 0,
        resumed: None,
    };
    let text = r#"{"type":"welcome","user":"42","device":"d","node":"n1","session":"7"}"#;
    assert_eq!(hear(text), welcome(None), "an older server gives no token");
    let with_token = text.replace('}', r#","resume":"t"}"#);
    assert_eq!(hear(&with_token), welcome(Some("t")));
    assert_eq!(hear(r#"{"type":"error","code":"c","message":"m"}"#), Heard::Other);
    assert_eq!(hear(r#"{"type":"later"}"#), Heard::Other);
    assert!(heard(&Message::text("hello"), Form::Json).is_err());
}

#[test]
fn a_kept_session_is_come_back_to_after_most_closes() {
    for code in [1_001, 1_011, 4_004] {
        assert!(matches!(after_close(code, "", true), Next::Reconnect { .. }), "{code}");
    }
    for code in [1_008, 4_001, 4_002, 4_003] {
        assert_eq!(after_close(code, "", true), Next::End(Exit::Error), "{code}");
    }
}

#[tokio::test]
async fn what_was_missed_is_asked_for_and_each_message_is_acknowledged_and_printed_once() {
    let (asked, acked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (queries, acks) = (Arc::clone(&asked), Arc::clone(&acked));
    let handler = move |Query(query): Query<HashMap<String, String>>, upgrade: WebSocketUpgrade| async move {
        let turn = {
            let mut queries = queries.lock().unwrap();
            queries.push((query.get("keep").cloned(), query.get("after").cloned()));
            queries.len()
        };
        upgrade.protocols(["pushmesh.v1"]).on_upgrade(move |mut socket| async move {
            let (segment, resumed) = if turn == 1 { ("a", "none") } else { ("b", "complete") };
            let session = r#""user":"42","device":"d","node":"n1","session":"7","resume":"t""#;
            let kept = format!(r#""keep":9,"window":256,"segment":"{segment}","n":0,"resumed":"{resumed}""#);
            socket.send(Frame::text(format!(r#"{{"type":"welcome",{session},{kept}}}"#))).await.unwrap();
            let messages: &[&str] = match turn {
                1 => &[r#""id":"m1","n":1,"data":"x""#],
                _ => &[r#""id":"m1","n":1,"segment":"a","data":"x""#, r#""id":"m2","n":1,"data":"y""#],
            };
            for message in messages {
                socket.send(Frame::text(format!(r#"{{"type":"message",{message}}}"#))).await.unwrap();
                let Some(Ok(Frame::Text(ack))) = socket.recv().await else { panic!("an ack is due") };
                acks.lock().unwrap().push(ack.to_string());
            }
            let _ = socket.send(Frame::Close(Some(CloseFrame { code: 1_011, reason: "".into() }))).await;
        })
    };
    let addr = serve(Router::new().route("/v1/ws", get(handler))).await;
    let args = ListenArgs { keep: Some(9), ..args(addr, 2, false) };
    assert_eq!(run(args).await.unwrap(), Exit::Done);
    let keep = Some("9".to_owned());
    assert_eq!(*asked.lock().unwrap(), [(keep.clone(), None), (keep, Some("a.1".to_owned()))]);
    let expected =
        [r#"{"type":"ack","n":1}"#, r#"{"type":"ack","n":1,"segment":"a"}"#, r#"{"type":"ack","n":1}"#];
    assert_eq!(*acked.lock().unwrap(), expected);
}

#[test]
fn a_token_of_another_user_is_a_mistake() {
    let user = UserId::new("42").unwrap();
    // {"alg":"HS256"} and {"sub":"7"}: nothing is verified here.
    let token = Secret::new("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.AA");
    let error = check_user(Some(&user), Some(&token)).unwrap_err().to_string();
    assert!(error.contains("for user 7, not 42"), "{error}");
    assert!(check_user(Some(&UserId::new("7").unwrap()), Some(&token)).is_ok());
    assert!(check_user(None, Some(&token)).is_ok());
    assert!(check_user(Some(&user), None).is_ok());
}
