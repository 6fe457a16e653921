//! Clients of `pushmesh.v1`.

use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::config::Secret;
use crate::gateway::clients::connection::tests::fixture::SECRET;
use crate::token::{Claims, sign_hs256};

#[tokio::test(start_paused = true)]
async fn an_enveloped_client_is_welcomed_first_and_can_ping_and_acknowledge() {
    let mut fixture =
        connect(Options { dialect: dialect::named(Some("pushmesh.v1")), ..Options::default() }).await;
    let _pushed = fixture.push("m1", Payload::text("a\"b"));
    let welcome = fixture.receive_json().await;
    assert_eq!((&welcome["type"], &welcome["session"]), (&"welcome".into(), &"7".into()));
    let resumed = resume_key().verify(&UserId::new("42").unwrap(), welcome["resume"].as_str().unwrap());
    let said = Resumed { device: DeviceId::new("phone").unwrap(), stamp: Stamp::from_raw(7), writer: None };
    assert_eq!(resumed, Ok(said));
    assert_eq!(fixture.receive_json().await["data"], "a\"b");
    fixture.send(r#"{"type":"ack","id":"m1"}"#).await;
    fixture.send(r#"{"type":"ping"}"#).await;
    assert_eq!(fixture.receive_json().await["type"], "pong");
    assert!(fixture.metrics.render().contains("pushmesh_client_acks_total 1"));
}

#[tokio::test(start_paused = true)]
async fn an_enveloped_client_may_err_some_times_in_a_row_but_not_for_ever() {
    let mut fixture =
        connect(Options { dialect: dialect::named(Some("pushmesh.v1")), ..Options::default() }).await;
    assert_eq!(fixture.receive_json().await["type"], "welcome");
    for _ in 0..2 {
        for _ in 0..8 {
            fixture.send("x").await;
            assert_eq!(fixture.receive_json().await["code"], "bad_message");
        }
        fixture.send(r#"{"type":"message","data":1}"#).await;
    }
    for _ in 0..9 {
        fixture.send("x").await;
    }
    assert_eq!(fixture.receive_close().await.0, 1008);
}

#[tokio::test(start_paused = true)]
async fn an_enveloped_client_that_sends_a_binary_frame_is_closed() {
    let mut fixture =
        connect(Options { dialect: dialect::named(Some("pushmesh.v1")), ..Options::default() }).await;
    fixture.send(vec![0]).await;
    assert_eq!(fixture.receive_close().await, (1008, "pushmesh.v1 has text frames only".to_owned()));
}

/// A token for `42`, as whoever signs the tokens of these clients makes it.
fn token(user: &str, device: Option<&str>, exp: u64, sid: Option<&str>) -> String {
    let (device, sid) = (device.map(str::to_owned), sid.map(str::to_owned));
    let claims = Claims { sub: user.to_owned(), device, exp, iat: None, nbf: None, sid };
    let token = sign_hs256(&Secret::new(SECRET), &claims);
    format!(r#"{{"type":"token","token":"{token}"}}"#)
}

/// A client whose token is good until 90 s of the wall clock.
async fn until_90() -> Fixture {
    let dialect = dialect::named(Some("pushmesh.v1"));
    let mut fixture = connect(Options { dialect, expires_unix_ms: Some(90_000), ..Options::default() }).await;
    assert_eq!(fixture.receive_json().await["type"], "welcome");
    fixture
}

impl Fixture {
    /// The next frame that is no ping.
    async fn receive_said(&mut self) -> serde_json::Value {
        loop {
            match self.receive().await {
                Frame::Ping(_) => {}
                frame => return serde_json::from_str(frame.to_text().unwrap()).unwrap(),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_before_its_token_expires_and_stays_with_another_one() {
    let mut fixture = until_90().await;
    fixture.clock.0.store(61_000, Ordering::Relaxed);
    assert_eq!(fixture.receive_said().await, json!({ "type": "expiring", "in_ms": 29_000 }));
    fixture.send(token("42", Some("phone"), 300, None)).await;
    assert_eq!(fixture.receive_said().await, json!({ "type": "renewed", "in_ms": 239_000 }));
    // The end of the one before passes, and nothing happens but what is asked for.
    fixture.clock.0.store(200_000, Ordering::Relaxed);
    let said = timeout(Duration::from_secs(130), fixture.receive_said()).await;
    assert!(said.is_err(), "it is heard of nothing but pings: {said:?}");
    fixture.clock.0.store(299_999, Ordering::Relaxed);
    assert_eq!(fixture.receive_said().await, json!({ "type": "expiring", "in_ms": 1 }));
    fixture.clock.0.store(305_000, Ordering::Relaxed);
    assert_eq!(fixture.receive_close().await.0, 4003);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_of_no_use_is_refused_and_the_one_before_counts() {
    let mut fixture = until_90().await;
    let bad = [
        (token("43", None, 300, None), "another user"),
        (token("42", Some("tablet"), 300, None), "another device"),
        (token("42", None, 300, Some("s1")), "another login"),
        (token("42", None, 0, None), "expired"),
        (r#"{"type":"token","token":"a.b.c"}"#.to_owned(), "token"),
    ];
    for (frame, why) in bad {
        fixture.send(frame).await;
        let said = fixture.receive_said().await;
        assert_eq!((&said["type"], &said["code"]), (&json!("error"), &json!("bad_token")), "{said}");
        assert!(said["message"].as_str().unwrap().contains(why), "{said}");
    }
    let text = fixture.metrics.render();
    assert!(text.contains("pushmesh_client_errors_total{code=\"bad_token\"} 5"), "{text}");
    assert!(text.contains("pushmesh_auth_failures_total{kind=\"token_expired\"} 1"), "{text}");
    // Who goes on guessing is closed.
    for _ in 0..4 {
        fixture.send(token("43", None, 300, None)).await;
    }
    assert_eq!(fixture.receive_close().await.0, 1008);
}
