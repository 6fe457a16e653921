//! What a client is told to do: to connect, and what to do with its connection.

use crate::id::{ClientIndex, ConnectionId, NodeIndex};
use crate::plan::Blunder;

/// What a client does with its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close it in good order.
    Close,
    /// Let go of the socket.
    Drop,
    /// Notice that the node is gone.
    Reset,
    /// Neither read nor answer for so many milliseconds.
    Stall(u64),
    /// Send a message.
    Say(String),
    /// Send what no node takes.
    Blunder(Blunder),
}

/// A connection to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    /// Its number.
    pub(crate) connection: ConnectionId,
    /// Whose it is.
    pub(crate) client: ClientIndex,
    /// To which node.
    pub(crate) node: NodeIndex,
}
