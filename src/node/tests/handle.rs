//! What an embedder does with a node: real ones, on real sockets, with handlers that push.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::harness::{Client, LOOK_EVERY, connect_device, until, within};
use crate::attributes::{Attributes, AttributesError, MergePatch};
use crate::config::Config;
use crate::handle::{BroadcastError, NodeHandle, NotKnown, PayloadTooLarge, PushError, Stopped};
use crate::handler::{Handler, SessionInfo};
use crate::id::{DeviceId, LoginId, NodeName, SessionKey, UserId};
use crate::node::Node;
use crate::push::{Outcome, Payload, Target, Terms, Wait};
use crate::wire::Wire;

/// Tells all devices of a user of one that comes, passes on what one says, and disconnects them all with the first that
/// goes. Keeps what it was told of that.
#[derive(Default)]
struct Room {
    reports: Mutex<Vec<(NodeName, usize)>>,
    left: Mutex<Vec<Outcome>>,
}

#[async_trait]
impl Handler for Room {
    async fn on_connect(&self, node: &NodeHandle, session: &SessionInfo) -> Result<(), &'static str> {
        let greeting = Payload::text(format!("{} is here", session.key.device));
        let node = node.clone();
        let user = Target::User(session.key.user.clone());
        // The session itself is written to once this method has returned.
        tokio::spawn(async move { node.push(user, greeting, None).await });
        Ok(())
    }

    async fn on_message(&self, node: &NodeHandle, session: &SessionInfo, message: Payload) {
        let report = node.push(Target::User(session.key.user.clone()), message, None).await.unwrap();
        self.reports.lock().unwrap().push((node.name().clone(), report.delivered()));
    }

    async fn on_disconnect(&self, node: &NodeHandle, session: &SessionInfo, _: u16) {
        let report = node.disconnect(Target::User(session.key.user.clone())).await.unwrap();
        self.left.lock().unwrap().extend(report.sessions.into_iter().map(|session| session.outcome));
    }
}

async fn start(name: &str, peers: &[&Node], handler: Arc<dyn Handler>) -> Node {
    let mut config = Config::dev(NodeName::new(name).unwrap());
    config.peers = peers.iter().map(|peer| peer.mesh_addr().to_string()).collect();
    config.limits.max_payload_bytes = 64;
    let wire = Wire::bind(config.listen, config.mesh_listen).await.unwrap();
    let node = Node::start_with(config, wire, handler).await.unwrap();
    within("the node is ready", node.ready()).await;
    node
}

async fn text(client: &mut Client) -> String {
    match within("a message", client.next()).await {
        Some(Ok(Frame::Text(text))) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_handler_pushes_to_the_session_that_it_is_called_for_and_to_others_anywhere() {
    let room = Arc::new(Room::default());
    let one = start("one", &[], room.clone()).await;
    let two = start("two", &[&one], room.clone()).await;
    let mut phone = connect_device(&one, "42", "phone").await;
    assert_eq!(text(&mut phone).await, "phone is here");
    until("the other node sees it", || two.sessions() == 1).await;
    let mut tablet = connect_device(&two, "42", "tablet").await;
    assert_eq!(text(&mut phone).await, "tablet is here");
    assert_eq!(text(&mut tablet).await, "tablet is here");
    until("the first node sees both", || one.sessions() == 2).await;

    phone.send(Frame::text("hello")).await.unwrap();
    assert_eq!(text(&mut phone).await, "hello");
    assert_eq!(text(&mut tablet).await, "hello");
    let told = || *room.reports.lock().unwrap() == [(one.name().clone(), 2)];
    until("the handler has its report", told).await;

    let mut devices = one.handle().sessions_of(&UserId::new("42").unwrap()).await.unwrap();
    devices.sort();
    let devices: Vec<_> = devices
        .into_iter()
        .map(|(device, node)| (device.map(|device| device.to_string()), node.to_string()))
        .collect();
    let expected = [("phone", "one"), ("tablet", "two")];
    let expected = expected.map(|(device, node)| (Some(device.to_owned()), node.to_owned()));
    assert_eq!(devices, expected);

    phone.close(None).await.unwrap();
    let end = async { while let Some(Ok(Frame::Text(_))) = tablet.next().await {} };
    within("the other device is disconnected as well", end).await;
    until("the handler knows", || room.left.lock().unwrap().contains(&Outcome::Delivered)).await;
    two.shutdown().await;
    one.shutdown().await;
}

#[tokio::test]
async fn what_a_node_can_not_push_and_what_a_node_that_has_stopped_answers_are_errors() {
    let node = start("alone", &[], Arc::new(Room::default())).await;
    let user = UserId::new("42").unwrap();
    let target = || Target::User(user.clone());
    let handle = node.handle().clone();
    let too_large = PayloadTooLarge { len: 65, max: 64 };
    let large = || Payload::binary(vec![0; 65]);
    assert_eq!(handle.push(target(), large(), None).await, Err(PushError::TooLarge(too_large)));
    assert_eq!(handle.broadcast(large(), None).await, Err(BroadcastError::TooLarge(too_large)));
    assert_eq!(handle.disconnect(target()).await.unwrap().best(), Outcome::NoSession);
    assert_eq!(handle.sessions_of(&user).await, Ok(Vec::new()));

    node.shutdown().await;
    let stopped = async {
        // What the node was doing may end a moment after it.
        while handle.disconnect(target()).await != Err(Stopped) {
            sleep(LOOK_EVERY).await;
        }
    };
    within("the node is gone", stopped).await;
    let payload = || Payload::text("late");
    assert_eq!(handle.push(target(), payload(), None).await, Err(PushError::Stopped(Stopped)));
    assert_eq!(handle.broadcast(payload(), None).await, Err(BroadcastError::Stopped(Stopped)));
    assert_eq!(handle.sessions_of(&user).await, Err(NotKnown::Stopped(Stopped)));
    assert_eq!(handle.name().as_str(), "alone");
}

/// Counts the messages of each session in its attributes.
struct Counter;

impl Counter {
    fn count(attributes: &Attributes) -> u64 {
        let read: serde_json::Value = serde_json::from_str(attributes.as_json()).unwrap();
        read["messages"].as_u64().unwrap_or_default()
    }
}

#[async_trait]
impl Handler for Counter {
    async fn on_connect(&self, node: &NodeHandle, session: &SessionInfo) -> Result<(), &'static str> {
        let attributes = Attributes::parse(r#"{"messages":0,"greeted":false}"#).unwrap();
        node.replace_attributes(&session.key, attributes).await.map(drop).map_err(|_| "no attributes")
    }

    async fn on_message(&self, node: &NodeHandle, session: &SessionInfo, _: Payload) {
        let count = Self::count(&node.attributes(&session.key).await.unwrap()) + 1;
        let patch = MergePatch::parse(&format!(r#"{{"messages":{count},"greeted":null}}"#)).unwrap();
        let changed = node.merge_attributes(&session.key, patch).await.unwrap();
        let answer = Payload::text(changed.as_json().to_owned());
        node.push(Target::Session(session.key.clone()), answer, None).await.unwrap();
    }
}

#[tokio::test]
async fn a_handler_keeps_attributes_with_its_session_and_so_does_any_node() {
    let one = start("one", &[], Arc::new(Counter)).await;
    let two = start("two", &[&one], Arc::new(Counter)).await;
    let mut phone = connect_device(&one, "42", "phone").await;
    phone.send(Frame::text("hello")).await.unwrap();
    assert_eq!(text(&mut phone).await, r#"{"messages":1}"#);
    until("the other node sees it", || two.sessions() == 1).await;
    let key = SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap());
    let patch = MergePatch::parse(r#"{"messages":41}"#).unwrap();
    let handle = two.handle().clone();
    assert_eq!(handle.merge_attributes(&key, patch).await.unwrap().as_json(), r#"{"messages":41}"#);
    phone.send(Frame::text("hello")).await.unwrap();
    assert_eq!(text(&mut phone).await, r#"{"messages":42}"#);
    assert_eq!(Counter::count(&handle.attributes(&key).await.unwrap()), 42);

    let login = Attributes::parse(r#"{"sid":"s1"}"#).unwrap();
    assert_eq!(handle.replace_attributes(&key, login).await, Err(AttributesError::Reserved));
    let nobody = handle.disconnect_login(&key.user, &LoginId::new("s1").unwrap()).await.unwrap();
    assert_eq!((nobody.best(), nobody.sessions), (Outcome::NoSession, Vec::new()));
    let other = SessionKey::new(key.user, DeviceId::new("tablet").unwrap());
    assert_eq!(handle.attributes(&other).await, Err(AttributesError::NoSession));
    two.shutdown().await;
    one.shutdown().await;
    let stopped = async {
        // What the node was doing may end a moment after it.
        while handle.attributes(&other).await != Err(AttributesError::Stopped) {
            sleep(LOOK_EVERY).await;
        }
    };
    within("the node is gone", stopped).await;
}

/// Says nothing.
struct Silent;

impl Handler for Silent {}

/// The client of a session that is kept, behind its welcome.
async fn connect_kept(node: &Node) -> Client {
    let url = format!("ws://{}/v1/ws?user=42&device=phone&keep=60", node.http_addr());
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("pushmesh.v1"));
    let tcp = TcpStream::connect(node.http_addr()).await.unwrap();
    let mut client = client_async(request, tcp).await.unwrap().0;
    assert!(text(&mut client).await.contains(r#""keep":60"#));
    client
}

#[tokio::test]
async fn what_is_pushed_on_terms_waits_for_the_acknowledgement_or_for_a_client_that_is_away() {
    let node = start("alone", &[], Arc::new(Silent)).await;
    let handle = node.handle().clone();
    let push = async |ttl, wait| {
        let target = Target::User(UserId::new("42").unwrap());
        let terms = Terms { ttl, wait };
        handle.push_on(target, Payload::text("hello"), None, terms).await.unwrap().best()
    };
    let broadcast = async |ttl| {
        let terms = Terms { ttl, ..Terms::default() };
        let total = handle.broadcast_on(Payload::text("all"), None, terms).await.unwrap().total();
        (total.queued, total.interrupted)
    };
    let mut phone = connect_kept(&node).await;
    let acknowledges = async {
        assert!(text(&mut phone).await.contains(r#""ack":true"#), "the client is told that somebody waits");
        phone.send(Frame::text(r#"{"type":"ack","n":1}"#)).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(push(None, Wait::Acked), acknowledges);
    assert_eq!(outcome, Outcome::Acked);

    drop(phone);
    let away = async {
        while push(Some(0), Wait::Receipt).await != Outcome::NoSession {
            sleep(LOOK_EVERY).await;
        }
    };
    within("the client is away", away).await;
    assert_eq!(
        (push(Some(60), Wait::Acked).await, push(None, Wait::Stored).await),
        (Outcome::Queued, Outcome::Queued)
    );
    assert_eq!((broadcast(Some(60)).await, broadcast(Some(0)).await), ((1, 0), (0, 0)));
    node.shutdown().await;
}
