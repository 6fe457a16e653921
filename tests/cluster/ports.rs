//! Ports for backends and for operators, apart from that of clients.

use std::net::SocketAddr;

use crate::harness::{Node, Plain};

/// The status of a request without a body, and what is said.
async fn ask(addr: SocketAddr, what: &str) -> (u16, String) {
    let mut caller = Plain::at(addr).await;
    caller
        .send(format!("{what} HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
        .await;
    caller.answer().await
}

#[tokio::test]
async fn each_port_serves_its_own_and_says_where_the_rest_is() {
    let node = Node::dev(&["--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).await;
    let [Some(api), Some(admin)] = node.apart else { panic!("the node says where it listens") };
    let mut client = node.connect("u", Some("d")).await;
    for (what, on_clients, on_api, on_admin) in [
        ("GET /livez", 200, 200, 200),
        ("GET /readyz", 200, 200, 200),
        ("GET /metrics", 404, 404, 200),
        ("GET /openapi.json", 404, 200, 200),
        ("GET /v1/stats", 404, 200, 404),
        ("POST /v1/users/u/push", 404, 200, 404),
        ("GET /v1/ws", 426, 404, 404),
    ] {
        let mut found = Vec::new();
        for addr in [node.addr, api, admin] {
            found.push(ask(addr, what).await.0);
        }
        assert_eq!(found, [on_clients, on_api, on_admin], "{what}");
    }
    assert_eq!(client.next_text().await, "", "the push that was taken, and no other");
    assert!(ask(node.addr, "GET /metrics").await.1.contains("--admin-listen"));
    assert!(ask(node.addr, "GET /v1/stats").await.1.contains("--api-listen"));
    assert!(ask(api, "GET /v1/ws").await.1.contains("--listen"));
    assert!(ask(admin, "GET /metrics").await.1.contains("pushmesh_connections 1\n"));
}

#[tokio::test]
async fn without_the_flags_one_port_serves_all() {
    let node = Node::dev(&[]).await;
    assert_eq!(node.apart, [None, None]);
    for what in ["GET /metrics", "GET /openapi.json", "GET /v1/stats"] {
        assert_eq!(ask(node.addr, what).await.0, 200, "{what}");
    }
}

#[tokio::test]
async fn a_port_of_its_own_is_there_for_backends_when_clients_have_taken_all_places() {
    let node = Node::dev(&["--api-listen", "127.0.0.1:0", "--max-connections", "1"]).await;
    let [Some(api), None] = node.apart else { panic!("the node says where it listens") };
    let mut client = node.connect("u", None).await;
    assert_eq!(node.connect("v", None).await.closed().await.0, 1013);
    assert_eq!(ask(api, "POST /v1/users/u/push").await.0, 200);
    assert_eq!(client.next_text().await, "");
}
