//! Clients of `pushmesh.v1`.

use super::*;

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
