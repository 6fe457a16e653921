//! What the tests of a node share: clients of it, and waiting.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::node::Node;

pub(super) type Client = WebSocketStream<TcpStream>;

/// A client of a user, with the device `d`.
pub(super) async fn connect(node: &Node, user: &str) -> Client {
    connect_device(node, user, "d").await
}

pub(super) async fn connect_device(node: &Node, user: &str, device: &str) -> Client {
    let tcp = TcpStream::connect(node.http_addr()).await.unwrap();
    let url = format!("ws://{}/v1/ws?user={user}&device={device}", node.http_addr());
    client_async(url, tcp).await.unwrap().0
}

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(LOOK_EVERY).await;
        }
    };
    within(what, waiting).await;
}

/// Far above what anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks, and two messages.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);
