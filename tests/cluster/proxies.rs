//! Balancers that pass on bytes, and say whose they are by the PROXY protocol.

use std::net::SocketAddr;

use crate::harness::{Launch, Plain, eventually, same, unique};

/// Version 2, a stream over IPv4. Source: HAProxy, "The PROXY protocol", section 2.2.
fn header(source: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(source);
    bytes.extend([127, 0, 0, 1]);
    bytes.extend([0x12, 0x34, 0x1f, 0x90]);
    bytes
}

async fn handshake(addr: SocketAddr, header: &[u8]) -> u16 {
    let mut caller = Plain::at(addr).await;
    caller.send(header).await;
    let request = "GET /v1/ws?user=u HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    caller.send(request).await;
    caller.answer().await.0
}

#[tokio::test]
async fn a_balancer_says_whose_connection_it_passes_on_and_has_to() {
    let flags = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol", "--connects-per-address", "1/1h"];
    let flags = flags.into_iter().chain(["--admin-listen", "127.0.0.1:0"]);
    let node = Launch::dev(&unique(), "n1").flags(flags).start().await;
    node.ready().await;
    assert_eq!(handshake(node.addr, &header([198, 51, 100, 1])).await, 101);
    assert_eq!(handshake(node.addr, &header([198, 51, 100, 2])).await, 101, "another client");
    assert_eq!(handshake(node.addr, &header([198, 51, 100, 1])).await, 429, "the same again");
    let mut silent = Plain::at(node.addr).await;
    silent.send("GET /livez HTTP/1.1\r\nHost: node\r\n\r\n").await;
    assert_eq!(silent.until_end().await.0, "", "it does not say whose connection this is");
    let [_, Some(admin)] = node.apart else { panic!("the node says where it listens") };
    eventually("it is counted", async || {
        let mut tool = Plain::at(admin).await;
        tool.send("GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await;
        let (_, metrics) = tool.answer().await;
        same(metrics.contains("pushmesh_proxy_headers_refused_total 1\n"), true).map(|_| ())
    })
    .await;
}
