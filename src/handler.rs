//! What an application that embeds a node can hook into.

use async_trait::async_trait;

use crate::handle::NodeHandle;
use crate::id::{NodeName, SessionKey};
use crate::push::Payload;

/// A session, as a [`Handler`] sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// User and device.
    pub key: SessionKey,
    /// The node that holds the connection.
    pub node: NodeName,
}

/// Called by the node that holds a session, from that session's own task: a slow handler delays its
/// own session and no other. Every method has a default that does nothing, so that
/// `impl Handler for MyType {}` is a valid start. `node` is the node that calls, to push with.
///
/// This one passes what a device says to all devices of its user, that one included:
///
/// ```
/// use std::sync::Arc;
///
/// use pushmesh::{Config, Handler, Node, NodeHandle, NodeName, Payload, SessionInfo, Target, Wire, async_trait};
///
/// struct Notes;
///
/// #[async_trait]
/// impl Handler for Notes {
///     async fn on_message(&self, node: &NodeHandle, session: &SessionInfo, message: Payload) {
///         let all = Target::User(session.key.user.clone());
///         match node.push(all, message, None).await {
///             Ok(report) => eprintln!("{}: delivered to {} devices", session.key, report.delivered()),
///             Err(error) => eprintln!("{}: {error}", session.key),
///         }
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::dev(NodeName::new("n1")?);
/// let wire = Wire::bind(config.listen, config.mesh_listen).await?;
/// let node = Node::start_with(config, wire, Arc::new(Notes)).await?;
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// A client is connected and its session is routable. Return `Err` with a short reason (at most
    /// 123 bytes, the limit of a close frame) to close it with 1008.
    ///
    /// # Errors
    /// The reason that the client is to see.
    async fn on_connect(&self, node: &NodeHandle, session: &SessionInfo) -> Result<(), &'static str> {
        let _ = (node, session);
        Ok(())
    }

    /// The client sent a message. Messages of a session arrive in order, one at a time; the next
    /// one is read from the socket when this returns.
    async fn on_message(&self, node: &NodeHandle, session: &SessionInfo, message: Payload) {
        let _ = (node, session, message);
    }

    /// The session has ended; `code` is the WebSocket close code of docs/PROTOCOL.md.
    async fn on_disconnect(&self, node: &NodeHandle, session: &SessionInfo, code: u16) {
        let _ = (node, session, code);
    }
}

/// The handler of the plain binary: pushes only.
#[derive(Debug, Clone, Copy, Default)]
pub struct PushOnly;

impl Handler for PushOnly {}
