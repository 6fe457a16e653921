//! What an application keeps with a session: read and changed at any node, and gone with the session wherever that goes.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Cluster, Keys, Launch, Message, Node, eventually, now_unix, same, unique,
};

const PATH: &str = "/v1/users/u/devices/d/attributes";

async fn get(node: &Node) -> Answer {
    node.get(PATH).await
}

async fn put(node: &Node, attributes: &str) -> Answer {
    let json = [("content-type", "application/json")];
    node.http.call("PUT", PATH, &json, attributes.to_owned()).await
}

async fn patch(node: &Node, patch: &str) -> Answer {
    let json = [("content-type", "application/merge-patch+json")];
    node.http.call("PATCH", PATH, &json, patch.to_owned()).await
}

fn are(answer: &Answer, attributes: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (200, attributes), "{answer:?}");
}

/// A connection of `u/d` that is kept, and its welcome.
async fn open(node: &Node, resume: Option<&Value>) -> (Client, Value) {
    let mut dial = node.dial().user("u").device("d").query("keep", "30").envelopes();
    if let Some(before) = resume {
        dial = dial.query("resume", before["resume"].as_str().expect("a welcome has it"));
    }
    let mut client = dial.open().await;
    let welcome = client.next_json().await;
    (client, welcome)
}

/// Waits until every node shows the session so.
async fn state(cluster: &Cluster, state: &str) {
    for node in cluster.nodes() {
        eventually(&format!("{state} at {}", node.name), async || {
            same(node.get("/v1/users/u").await.json["state"].clone(), json!(state)).map(|_| ())
        })
        .await;
    }
}

#[tokio::test]
async fn attributes_are_set_at_one_node_and_read_at_another() {
    let cluster = Cluster::start(3).await;
    let _client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let [one, two, three] = [0, 1, 2].map(|index| cluster.node(index));
    are(&get(three).await, "{}");
    let answer = put(two, r#"{ "theme": "dark", "cart": { "items": 3, "voucher": "x" } }"#).await;
    are(&answer, r#"{"cart":{"items":3,"voucher":"x"},"theme":"dark"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = patch(three, r#"{"cart":{"items":4,"voucher":null},"theme":null,"seen":[1.50]}"#).await;
    are(&answer, r#"{"cart":{"items":4},"seen":[1.50]}"#);
    for node in [one, two, three] {
        are(&get(node).await, r#"{"cart":{"items":4},"seen":[1.50]}"#);
    }
    are(&put(one, r#"{"theme":"light"}"#).await, r#"{"theme":"light"}"#);
    are(&get(three).await, r#"{"theme":"light"}"#);
}

#[tokio::test]
async fn presence_tells_attributes_where_it_is_asked_for_them() {
    let cluster = Cluster::start(2).await;
    let node = cluster.node(1);
    let _phone = cluster.node(0).connect("u", Some("d")).await;
    let _tablet = node.connect("u", Some("e")).await;
    cluster.shows("u", &[("d", "n1"), ("e", "n2")]).await;
    are(&put(node, r#"{"theme":"dark"}"#).await, r#"{"theme":"dark"}"#);
    let shown = async |query: &str| {
        let answer = node.get(&format!("/v1/users/u{query}")).await;
        let mut sessions: Vec<_> = answer.json["sessions"].as_array().expect("a list").clone();
        sessions.sort_by_key(|session| session["device"].to_string());
        sessions.into_iter().map(|session| session.get("attributes").cloned()).collect::<Vec<_>>()
    };
    assert_eq!(shown("").await, [None, None]);
    assert_eq!(shown("?attributes=false").await, [None, None]);
    assert_eq!(shown("?attributes=true").await, [Some(json!({ "theme": "dark" })), Some(json!({}))]);
    assert_eq!(node.get("/v1/users/u?attributes=yes").await.error(), (400, "bad_request"));
}

#[tokio::test]
async fn attributes_go_with_a_kept_session_and_its_welcome_has_them() {
    let cluster = Cluster::start(3).await;
    let (client, welcome) = open(cluster.node(0), None).await;
    assert_eq!(welcome.get("attributes"), None, "there are none: {welcome}");
    cluster.shows("u", &[("d", "n1")]).await;
    are(&put(cluster.node(1), r#"{"theme":"dark"}"#).await, r#"{"theme":"dark"}"#);
    drop(client);
    state(&cluster, "parked").await;
    are(&get(cluster.node(2)).await, r#"{"theme":"dark"}"#);
    are(&patch(cluster.node(1), r#"{"away":true}"#).await, r#"{"away":true,"theme":"dark"}"#);
    // It comes back to another node, and then to the very node that it is at.
    let (client, second) = open(cluster.node(2), Some(&welcome)).await;
    assert_eq!(
        (&second["resumed"], &second["attributes"]),
        (&json!("complete"), &json!({ "away": true, "theme": "dark" }))
    );
    are(&patch(cluster.node(2), r#"{"away":null}"#).await, r#"{"theme":"dark"}"#);
    let (_client, third) = open(cluster.node(2), Some(&second)).await;
    drop(client);
    assert_eq!(third["attributes"], json!({ "theme": "dark" }));
    cluster.shows("u", &[("d", "n3")]).await;
    are(&get(cluster.node(0)).await, r#"{"theme":"dark"}"#);
}

#[tokio::test]
async fn attributes_outlast_the_nodes_that_stop() {
    let mut cluster = Cluster::start(3).await;
    let (mut client, welcome) = open(cluster.node(0), None).await;
    cluster.shows("u", &[("d", "n1")]).await;
    are(&put(cluster.node(1), r#"{"theme":"dark"}"#).await, r#"{"theme":"dark"}"#);
    cluster.node(0).process.signal("TERM");
    assert_eq!(client.closed().await.0, 1012);
    assert!(cluster.node(0).process.end().await.success());
    cluster.restart(0).await;
    cluster.node(0).ready().await;
    state(&cluster, "parked").await;
    are(&get(cluster.node(0)).await, r#"{"theme":"dark"}"#);
    let (_client, back) = open(cluster.node(0), Some(&welcome)).await;
    assert_eq!(back["attributes"], json!({ "theme": "dark" }));
}

#[tokio::test]
async fn attributes_end_with_their_session() {
    let cluster = Cluster::start(2).await;
    let (_client, _) = open(cluster.node(0), None).await;
    cluster.shows("u", &[("d", "n1")]).await;
    are(&put(cluster.node(1), r#"{"theme":"dark"}"#).await, r#"{"theme":"dark"}"#);
    assert_eq!(cluster.node(1).delete("/v1/users/u").await.json["disconnected"], 1);
    cluster.shows("u", &[]).await;
    for node in cluster.nodes() {
        assert_eq!(get(node).await.error(), (404, "no_session"));
        assert_eq!(put(node, "{}").await.error(), (404, "no_session"));
    }
    let (_client, welcome) = open(cluster.node(0), None).await;
    assert_eq!(welcome.get("attributes"), None, "{welcome}");
    // Those of a session that is not kept end with its connection, also where the client comes back at once.
    let plain = cluster.node(0).connect("u", Some("e")).await;
    cluster.shows("u", &[("d", "n1"), ("e", "n1")]).await;
    let path = "/v1/users/u/devices/e/attributes";
    let json = [("content-type", "application/json")];
    are(&cluster.node(0).http.call("PUT", path, &json, r#"{"a":1}"#).await, r#"{"a":1}"#);
    let _again = cluster.node(1).connect("u", Some("e")).await;
    cluster.shows("u", &[("d", "n1"), ("e", "n2")]).await;
    are(&cluster.node(0).get(path).await, "{}");
    drop(plain);
}

#[tokio::test]
async fn what_was_changed_at_the_next_owner_stands_against_what_comes_late() {
    let cluster = Cluster::start_gated(2, &["--copies", "0"]).await;
    let (mut first, welcome) = open(cluster.node(0), None).await;
    cluster.shows("u", &[("d", "n1")]).await;
    are(&put(cluster.node(0), r#"{"from":"n1"}"#).await, r#"{"from":"n1"}"#);
    cluster.cut(0, 1);
    cluster.node(1).sees_as("n1", "suspect").await;
    let (mut second, pending) = open(cluster.node(1), Some(&welcome)).await;
    assert_eq!((&pending["resumed"], pending.get("attributes")), (&json!("pending"), None), "{pending}");
    are(&patch(cluster.node(1), r#"{"by":"n2"}"#).await, r#"{"by":"n2"}"#);
    assert_eq!(second.next_json().await["resumed"], "partial");
    cluster.heal(0, 1);
    assert_eq!(second.next_json().await["resumed"], "complete");
    are(&get(cluster.node(1)).await, r#"{"by":"n2"}"#);
    assert_eq!(first.closed().await.0, 4001);
}

#[tokio::test]
async fn attributes_are_asked_for_by_way_of_a_third_node_and_handed_over_by_it() {
    let cluster = Cluster::start_gated(3, &[]).await;
    let (_client, welcome) = open(cluster.node(0), None).await;
    cluster.shows("u", &[("d", "n1")]).await;
    cluster.cut(0, 1);
    cluster.node(1).sees_as("n1", "unreachable").await;
    cluster.node(0).sees_as("n2", "unreachable").await;
    are(&put(cluster.node(1), r#"{"theme":"dark"}"#).await, r#"{"theme":"dark"}"#);
    are(&get(cluster.node(1)).await, r#"{"theme":"dark"}"#);
    let (_second, back) = open(cluster.node(1), Some(&welcome)).await;
    assert_eq!((&back["resumed"], &back["attributes"]), (&json!("complete"), &json!({ "theme": "dark" })));
}

#[tokio::test]
async fn what_is_not_understood_too_large_or_of_another_type_is_told_and_changes_nothing() {
    let cluster = Cluster::start(2).await;
    let _client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let node = cluster.node(1);
    are(&put(node, r#"{"a":1}"#).await, r#"{"a":1}"#);
    let levels = |count: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(count - 1), "]".repeat(count - 1));
    for body in ["", "[]", "7", "null", "{", r#"{"a":1,"a":2}"#, r#"{"b":{"c":1,"c":1}}"#, &levels(33)] {
        assert_eq!(put(node, body).await.error(), (400, "bad_attributes"), "{body}");
        assert_eq!(patch(node, body).await.error(), (400, "bad_attributes"), "{body}");
    }
    let long = |bytes: usize| format!(r#"{{"b":"{}"}}"#, "x".repeat(bytes - 8));
    assert_eq!(put(node, &long(4_097)).await.error(), (413, "attributes_too_large"));
    assert_eq!(patch(node, &long(4_096)).await.error(), (413, "attributes_too_large"), "with what is there");
    for (method, content_type) in
        [("PUT", "application/merge-patch+json"), ("PATCH", "application/json"), ("PUT", "text/plain")]
    {
        let answer = node.http.call(method, PATH, &[("content-type", content_type)], "{}").await;
        assert_eq!(answer.error(), (415, "unsupported_media_type"), "{method} {content_type}");
        assert_eq!(answer.header("accept-patch"), Some("application/merge-patch+json"));
    }
    assert_eq!(node.http.call("PUT", PATH, &[], "{}").await.error(), (415, "unsupported_media_type"));
    assert_eq!(node.http.call("POST", PATH, &[], "{}").await.error(), (405, "method_not_allowed"));
    assert_eq!(put(node, r#"{"sid":"s1"}"#).await.error(), (409, "reserved_attribute"));
    assert_eq!(patch(node, r#"{"sid":null}"#).await.error(), (409, "reserved_attribute"));
    assert_eq!(
        node.http.with_key(Some("x")).call("GET", PATH, &[], "").await.status,
        200,
        "it runs with --dev"
    );
    assert_eq!(node.get("/v1/users/u/devices/x/attributes").await.error(), (404, "no_session"));
    are(&get(node).await, r#"{"a":1}"#);
    assert_eq!(put(node, &levels(32)).await.status, 200);
    assert_eq!(put(node, &long(4_096)).await.status, 200);
}

#[tokio::test]
async fn a_node_that_knows_no_attributes_is_not_asked() {
    let cluster = unique();
    let old = Launch::dev(&cluster, "n1").flags(["--mesh-version", "4"]).start().await;
    let new = Launch::dev(&cluster, "n2").peers([&old]).start().await;
    for node in [&old, &new] {
        node.ready().await;
    }
    let mut client = old.connect("u", Some("d")).await;
    new.shows("u", &[("d", "n1")]).await;
    assert_eq!(get(&new).await.error(), (503, "not_supported"));
    assert_eq!(put(&new, "{}").await.error(), (503, "not_supported"));
    let answer = new.get("/v1/users/u?attributes=true").await.json;
    assert_eq!(
        (&answer["silent"], answer["sessions"][0].get("attributes")),
        (&json!(["n1"]), None),
        "{answer}"
    );
    assert_eq!(new.delete("/v1/users/u?sid=s1").await.error(), (504, "unreachable"));
    assert_eq!(new.push("u", "a").await.json["delivered"], 1, "the link is there as before");
    assert_eq!(client.next_text().await, "a");
}

/// Three nodes with keys, and what to call them with.
async fn with_keys() -> (Keys, Vec<Node>) {
    let keys = Keys::generate().await;
    let cluster = unique();
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let launch = Launch::new(&cluster, name).flags(keys.flags()).key(&keys.api);
        nodes.push(launch.peers(&nodes).start().await);
    }
    for node in &nodes {
        node.ready().await;
    }
    (keys, nodes)
}

/// A connection of a device of `u`, with a token of that login.
async fn of_login(
    keys: &Keys,
    node: &Node,
    device: &str,
    sid: Option<&str>,
    resume: Option<&Value>,
) -> (Client, Value) {
    let mut claims = json!({ "sub": "u", "exp": now_unix() + 3_600 });
    if let Some(sid) = sid {
        claims["sid"] = json!(sid);
    }
    let token = keys.hs256(&claims);
    let mut dial = node.dial().token(&token).device(device).query("keep", "30").envelopes();
    if let Some(before) = resume {
        dial = dial.query("resume", before["resume"].as_str().expect("a welcome has it"));
    }
    let mut client = dial.open().await;
    let welcome = client.next_json().await;
    (client, welcome)
}

#[tokio::test]
async fn a_logout_closes_the_sessions_of_its_login_at_all_nodes_and_no_others() {
    let (keys, nodes) = with_keys().await;
    let (mut phone, welcome) = of_login(&keys, &nodes[0], "phone", Some("s1"), None).await;
    assert_eq!(welcome["attributes"], json!({ "sid": "s1" }));
    let (tablet, _) = of_login(&keys, &nodes[1], "tablet", Some("s1"), None).await;
    let (mut other, _) = of_login(&keys, &nodes[1], "other", Some("s2"), None).await;
    let (mut none, welcome) = of_login(&keys, &nodes[2], "none", None, None).await;
    assert_eq!(welcome.get("attributes"), None, "{welcome}");
    drop(tablet); // It is away, and its session is kept.
    let shown = [("none", "n3"), ("other", "n2"), ("phone", "n1"), ("tablet", "n2")];
    for node in &nodes {
        node.shows("u", &shown).await;
        eventually("the tablet is away", async || {
            same(node.get("/v1/stats").await.json["parked"].clone(), json!(1)).map(|_| ())
        })
        .await;
    }
    let answer = nodes[2].delete("/v1/users/u?sid=s3").await;
    assert_eq!(
        (answer.error(), &answer.json["sessions"]),
        ((404, "no_session"), &json!([])),
        "nobody is of that login"
    );
    for wrong in ["?sid=", "?sid=a&sid=b", "?sd=s1", "?sid=%00"] {
        assert_eq!(
            nodes[2].delete(&format!("/v1/users/u{wrong}")).await.error(),
            (400, "bad_request"),
            "{wrong}"
        );
    }
    let answer = nodes[2].delete("/v1/users/u?sid=s1").await.json;
    let closed =
        |device: &str, node: &str| json!({ "device": device, "node": node, "outcome": "disconnected" });
    let mut told = answer["sessions"].as_array().expect("a list").clone();
    told.sort_by_key(|session| session["device"].to_string());
    assert_eq!(told, [closed("phone", "n1"), closed("tablet", "n2")], "{answer}");
    assert_eq!(answer["disconnected"], 2);
    assert_eq!(phone.closed().await, (4002, "kicked".to_owned()));
    for node in &nodes {
        node.shows("u", &[("none", "n3"), ("other", "n2")]).await;
    }
    assert_eq!(nodes[0].push("u", "a").await.json["delivered"], 2);
    for client in [&mut other, &mut none] {
        assert_eq!(client.next_json().await["data"], "a");
    }
}

#[tokio::test]
async fn a_session_has_the_login_of_its_own_connection_and_keeps_it_while_a_node_stops() {
    let (keys, nodes) = with_keys().await;
    let path = "/v1/users/u/devices/d/attributes";
    let (_first, welcome) = of_login(&keys, &nodes[0], "d", Some("s1"), None).await;
    nodes[1].shows("u", &[("d", "n1")]).await;
    let json = [("content-type", "application/json")];
    are(&nodes[1].http.call("PUT", path, &json, r#"{"a":1}"#).await, r#"{"a":1,"sid":"s1"}"#);
    let answer = nodes[1].http.call("PUT", path, &json, r#"{"sid":"s2"}"#).await;
    assert_eq!(answer.error(), (409, "reserved_attribute"));
    // The user logs in anew; what the application keeps stays.
    let (mut second, welcome) = of_login(&keys, &nodes[1], "d", Some("s2"), Some(&welcome)).await;
    assert_eq!(welcome["attributes"], json!({ "a": 1, "sid": "s2" }));
    for node in &nodes {
        node.shows("u", &[("d", "n2")]).await;
    }
    assert_eq!(nodes[0].delete("/v1/users/u?sid=s1").await.error(), (404, "no_session"));
    second.send(Message::text(r#"{"type":"ping"}"#)).await;
    assert_eq!(second.next_json().await, json!({ "type": "pong" }));
    // A node that stops leaves the login with the session.
    nodes[1].process.signal("TERM");
    assert_eq!(second.closed().await.0, 1012);
    assert!(nodes[1].process.end().await.success());
    let staying = [&nodes[0], &nodes[2]];
    for node in staying {
        eventually("the session is parked", async || {
            same(node.get("/v1/users/u").await.json["state"].clone(), json!("parked")).map(|_| ())
        })
        .await;
        are(&node.get(path).await, r#"{"a":1,"sid":"s2"}"#);
    }
    assert_eq!(nodes[0].delete("/v1/users/u?sid=s2").await.json["disconnected"], 1);
    for node in staying {
        node.shows("u", &[]).await;
    }
}
