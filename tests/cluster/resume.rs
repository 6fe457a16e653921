//! Resume tokens, and who is let in under each takeover policy.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hkdf, hmac};
use serde_json::Value;

use crate::harness::{Client, Cluster, Launch, Node, Process, eventually, now_unix, unique};

/// Connects as `u` with `name=value` in the query, and gives the welcome as well.
async fn join(node: &Node, name: &str, value: &str) -> (Client, Value) {
    enter(node.dial().user("u").query(name, value).envelopes().open().await).await
}

async fn enter(mut client: Client) -> (Client, Value) {
    let welcome = client.next_json().await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (client, welcome)
}

fn text<'a>(welcome: &'a Value, field: &str) -> &'a str {
    welcome[field].as_str().unwrap_or_else(|| panic!("{field} is text in {welcome}"))
}

fn stamp(welcome: &Value) -> u64 {
    text(welcome, "session").parse().expect("a stamp is a number")
}

/// A node in `--dev` under that cluster name.
async fn node(cluster: &str, name: &str) -> Node {
    let node = Launch::dev(cluster, name).start().await;
    node.ready().await;
    node
}

/// A resume token made by the book, docs/PROTOCOL.md 3.3, with the public cluster key of `--dev`.
fn signed(cluster: &str, user: &str, device: &str, stamp: u64) -> String {
    let root = URL_SAFE_NO_PAD.decode("cHVzaG1lc2gtZGV2LWtleS1ub3QtYS1zZWNyZXQtISE").expect("base64");
    let shared = derived(&root, &["shared by all nodes", cluster]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derived(&shared, &["resume token"]));
    let signed = [b"\x01", user.as_bytes(), b"\0", device.as_bytes(), b"\0", &stamp.to_be_bytes()].concat();
    let tag = hmac::sign(&key, &signed);
    let token = [b"\x01", &stamp.to_be_bytes()[..], device.as_bytes(), &tag.as_ref()[..16]].concat();
    URL_SAFE_NO_PAD.encode(token)
}

/// HKDF with the salt of all keys of a cluster; each text of the info ends with a zero byte.
fn derived(secret: &[u8], info: &[&str]) -> Vec<u8> {
    let info: String = info.iter().map(|text| format!("{text}\0")).collect();
    let info = [info.as_bytes()];
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"pushmesh identity 1").extract(secret);
    let output = root.expand(&info, hkdf::HKDF_SHA256).expect("32 bytes are few");
    let mut key = vec![0; 32];
    output.fill(&mut key).expect("32 bytes are few");
    key
}

#[tokio::test]
async fn a_client_without_a_device_comes_back_as_the_same_session_at_any_node() {
    let cluster = Cluster::start(2).await;
    let (mut first, before) = enter(cluster.node(0).dial().user("u").envelopes().open().await).await;
    let device = text(&before, "device");
    cluster.shows("u", &[(device, "n1")]).await;
    let (_second, after) = join(cluster.node(1), "resume", text(&before, "resume")).await;
    assert_eq!(text(&after, "device"), device);
    assert!(stamp(&after) > stamp(&before), "{after} is above {before}");
    assert_eq!(first.closed().await, (4001, "superseded".to_owned()));
    cluster.shows("u", &[(device, "n2")]).await;
    cluster.counts(1).await;
}

#[tokio::test]
async fn a_reconnect_is_above_the_claim_that_it_replaces_although_its_node_does_not_see_it() {
    // Two nodes that do not know each other, as in a partition; the clock of one is an hour ahead.
    let cluster = unique();
    let (one, other) = (node(&cluster, "n1").await, node(&cluster, "n2").await);
    let ahead = ((now_unix() + 3_600) * 1_000) << 16;
    let (_first, before) = join(&one, "resume", &signed(&cluster, "u", "d", ahead)).await;
    // Just above what nodes that keep the session on may claim: 17 ms; the lowest bits count the claims of a node.
    let next = |stamp| stamp + (16 << 16) + 1..=stamp + (18 << 16);
    assert_eq!(text(&before, "device"), "d");
    assert!(next(ahead).contains(&stamp(&before)), "{} {ahead}", stamp(&before));
    assert_eq!(text(&before, "resume"), signed(&cluster, "u", "d", stamp(&before)));
    let (_second, after) = join(&other, "resume", text(&before, "resume")).await;
    assert_eq!(text(&after, "device"), "d");
    assert!(next(stamp(&before)).contains(&stamp(&after)), "{} {}", stamp(&after), stamp(&before));
    let (_fresh, fresh) = join(&other, "device", "fresh").await;
    assert!(stamp(&fresh) < ahead, "no clock follows the stamp of a client");
}

#[tokio::test]
async fn a_resume_token_that_is_not_the_clients_own_is_refused() {
    let cluster = unique();
    let (own, foreign) = (node(&cluster, "n1").await, node(&unique(), "n1").await);
    let (_client, welcome) = join(&own, "device", "d").await;
    let resume = text(&welcome, "resume");
    let beyond = signed(&cluster, "u", "d", u64::MAX);
    let bad = [
        ("another user", own.dial().user("v").query("resume", resume)),
        ("another cluster", foreign.dial().user("u").query("resume", resume)),
        ("nonsense", own.dial().user("u").query("resume", "nonsense")),
        ("nothing", own.dial().user("u").query("resume", "")),
        ("a stamp that nothing is above", own.dial().user("u").query("resume", &beyond)),
    ];
    for (why, dial) in bad {
        let answer = dial.refused().await;
        assert_eq!(answer.error(), (400, "bad_resume"), "{why}");
        assert!(answer.text().contains("leave ?resume= out"), "{why}: {}", answer.text());
    }
    let other_device = own.dial().user("u").device("e").query("resume", resume).refused().await;
    assert_eq!(other_device.error(), (403, "forbidden"));
    own.shows("u", &[("d", "n1")]).await;
    own.counts(1).await;
}

#[tokio::test]
async fn a_device_that_is_connected_stays_where_newer_ones_are_rejected() {
    let cluster = Cluster::start_with(2, &["--takeover", "reject-newer"]).await;
    let (mut first, welcome) = join(cluster.node(0), "device", "d").await;
    cluster.shows("u", &[("d", "n1")]).await;
    let stale = {
        let (client, welcome) = join(cluster.node(0), "device", "e").await;
        client.close().await;
        cluster.shows("u", &[("d", "n1")]).await;
        let (_client, second) = join(cluster.node(0), "device", "e").await;
        // The device alone may still be the first session's, whose owner tells the same name.
        eventually("the second session is known at the other node", async || {
            let stamps = claims(cluster.node(1)).await;
            if stamps.contains(&second["session"]) { Ok(()) } else { Err(stamps) }
        })
        .await;
        let old = cluster.node(1).dial().user("u").query("resume", text(&welcome, "resume"));
        old.refused().await
    };
    assert_eq!(stale.error(), (409, "session_exists"), "it is the token of an earlier session");
    cluster.shows("u", &[("d", "n1")]).await;
    for node in cluster.nodes() {
        let answer = node.dial().user("u").device("d").refused().await;
        assert_eq!(answer.error(), (409, "session_exists"), "at {}", node.name);
        assert_eq!(node.push("u", "still here").await.json["delivered"], 1);
        assert_eq!(first.next_json().await["data"], "still here");
    }
    let _other = cluster.node(1).connect("u", Some("other")).await;
    let (second, again) = join(cluster.node(1), "resume", text(&welcome, "resume")).await;
    assert_eq!(text(&again, "device"), "d");
    drop(first);
    second.close().await;
    cluster.shows("u", &[("other", "n2")]).await;
    // A session that closes is not listed any more, and holds its claim until it is closed.
    eventually("its claim is released", async || {
        // Only the other device's is left; it may have the same stamp.
        let stamps = claims(cluster.node(0)).await;
        if stamps.len() == 1 { Ok(()) } else { Err(stamps) }
    })
    .await;
    let _free_again = cluster.node(0).connect("u", Some("d")).await;
}

#[tokio::test]
async fn where_newer_ones_are_rejected_the_last_token_counts_and_none_before_it() {
    let cluster = Cluster::start_with(3, &["--takeover", "reject-newer"]).await;
    let (_first, welcome) = join(cluster.node(0), "device", "d").await;
    let (mut tokens, mut clients) = (vec![text(&welcome, "resume").to_owned()], Vec::new());
    cluster.shows("u", &[("d", "n1")]).await;
    for (hop, at) in [1, 0, 0, 2, 1, 1, 2].into_iter().enumerate() {
        let (client, welcome) = join(cluster.node(at), "resume", tokens.last().expect("there is one")).await;
        tokens.push(text(&welcome, "resume").to_owned());
        let session = &welcome["session"];
        for node in cluster.nodes() {
            eventually("the session is the one that counts", async || {
                let rows = node.get("/v1/explain/users/u").await.json["rows"].clone();
                let wins = |row: &&Value| row["wins"] == true && row["stamp"] == *session;
                if rows.as_array().into_iter().flatten().any(|row| wins(&row)) { Ok(()) } else { Err(rows) }
            })
            .await;
            for stale in &tokens[..tokens.len() - 1] {
                let answer = node.dial().user("u").query("resume", stale).refused().await;
                assert_eq!(answer.error(), (409, "session_exists"), "hop {hop} at {}", node.name);
            }
        }
        clients.push(client);
    }
    let (mut last, gone) = (clients.pop().expect("there is one"), clients);
    assert_eq!(cluster.node(0).push("u", "still here").await.json["delivered"], 1);
    assert_eq!(last.next_json().await["data"], "still here");
    for mut client in gone {
        assert_eq!(client.closed().await, (4001, "superseded".to_owned()));
    }
}

#[tokio::test]
async fn where_newer_ones_are_rejected_a_client_of_a_dead_node_is_reached_where_it_has_resumed() {
    let cluster = Cluster::start_with(3, &["--takeover", "reject-newer"]).await;
    let (_first, welcome) = join(cluster.node(0), "device", "d").await;
    cluster.shows("u", &[("d", "n1")]).await;
    cluster.node(0).process.kill();
    // The others do not know it yet, and the dead node's claim is older.
    let (mut second, again) = join(cluster.node(1), "resume", text(&welcome, "resume")).await;
    assert_eq!(cluster.node(1).push("u", "here").await.json["delivered"], 1);
    assert_eq!(second.next_json().await["data"], "here");
    let node = cluster.node(2);
    eventually("the other node follows", async || {
        let rows = node.get("/v1/explain/users/u").await.json["rows"].clone();
        let wins = |row: &&Value| row["wins"] == true && row["stamp"] == again["session"];
        if rows.as_array().into_iter().flatten().any(|row| wins(&row)) { Ok(()) } else { Err(rows) }
    })
    .await;
    assert_eq!(node.push("u", "there").await.json["delivered"], 1);
    assert_eq!(second.next_json().await["data"], "there");
    let stale = node.dial().user("u").query("resume", text(&welcome, "resume")).refused().await;
    assert_eq!(stale.error(), (409, "session_exists"));
    // It goes, and nobody but the dead node has a session of the device.
    second.close().await;
    eventually("its claim is released", async || {
        let stamps = claims(node).await;
        if stamps.contains(&again["session"]) { Err(stamps) } else { Ok(()) }
    })
    .await;
    let (mut third, _) = join(node, "resume", text(&again, "resume")).await;
    assert_eq!(node.push("u", "again").await.json["delivered"], 1);
    assert_eq!(third.next_json().await["data"], "again");
}

/// The stamps of all claims of the user that a node shows.
async fn claims(node: &Node) -> Vec<Value> {
    let rows = node.get("/v1/explain/users/u").await.json["rows"].clone();
    let shown = rows.as_array().into_iter().flatten().filter(|row| row["visible"] == true);
    shown.map(|row| row["stamp"].clone()).collect()
}

#[tokio::test]
async fn a_device_beyond_the_users_sessions_is_429_also_where_newer_ones_are_rejected() {
    let flags = ["--takeover", "reject-newer", "--max-sessions-per-user", "1"];
    let cluster = Cluster::start_with(1, &flags).await;
    let node = cluster.node(0);
    let _client = node.connect("u", Some("a")).await;
    assert_eq!(node.dial().user("u").device("a").refused().await.error(), (409, "session_exists"));
    assert_eq!(node.dial().user("u").device("b").refused().await.error(), (429, "too_many_sessions"));
}

#[tokio::test]
async fn nobody_is_refused_where_older_sessions_make_room() {
    for policy in ["one-per-user", "max-per-user=1"] {
        let flags = ["--takeover", policy, "--max-sessions-per-user", "1"];
        let cluster = Cluster::start_with(1, &flags).await;
        let mut clients = Vec::new();
        for device in ["a", "b", "a"] {
            let (client, welcome) = join(cluster.node(0), "device", device).await;
            assert_eq!(text(&welcome, "device"), device, "{policy}");
            clients.push(client);
        }
    }
}

#[tokio::test]
async fn listen_with_json_comes_back_as_the_same_session() {
    // A test that opens many connections could be given the port in between.
    let _alone = crate::harness::alone().await;
    let cluster = unique();
    let first = node(&cluster, "n1").await;
    let addr = first.addr.to_string();
    let args = ["listen", "--url", &format!("http://{addr}"), "--user", "u", "--json", "--count", "1"];
    let listening = Process::start(&args, &[]);
    let before = eventually("it listens", async || first.sessions_of("u").await.pop().ok_or("not yet")).await;
    first.process.signal("TERM");
    assert_eq!(first.process.end().await.code(), Some(0));
    let second = Launch::dev(&cluster, "n1").listen(&addr).start().await;
    second.ready().await;
    second.shows("u", &[(&before.0, "n1")]).await;
    assert_eq!(second.push("u", "same").await.json["delivered"], 1);
    let done = listening.finish().await;
    assert_eq!(done.code, 0, "{done:?}");
    let connected = format!("connected as u/{} at node n1", before.0);
    assert_eq!(done.stderr.matches(&connected).count(), 2, "{done:?}");
}
