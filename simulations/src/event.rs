//! What can happen in a run, beside packets. Checkers see nothing else of clients and pushes.

use pushmesh::Outcome;

use crate::ask::Ask;
use crate::checkers::Connected;
use crate::reply::Reply;

/// Number of a node: its place among the nodes of the run.
pub(crate) type NodeIndex = usize;
/// Number of a client: one user and device, however often it connects.
pub(crate) type ClientIndex = usize;
/// Number of a connection, unique in the run.
pub(crate) type ConnectionId = u64;
/// Number of a push, unique in the run; later ones are greater.
pub(crate) type PushId = u64;
/// Number of a call over HTTP, unique in the run.
pub(crate) type CallId = u64;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A node runs.
    Booted {
        /// Which one.
        node: NodeIndex,
        /// Its incarnation, which grows from boot to boot.
        incarnation: u64,
    },
    /// A node begins to stop in good order.
    Stopping {
        /// Which one.
        node: NodeIndex,
    },
    /// A node stopped in good order.
    Stopped {
        /// Which one.
        node: NodeIndex,
    },
    /// A node lost its power.
    Crashed {
        /// Which one.
        node: NodeIndex,
    },
    /// A node holds still: what it sends and is sent waits.
    HeldStill {
        /// Which one.
        node: NodeIndex,
    },
    /// A node that held still goes on.
    WentOn {
        /// Which one.
        node: NodeIndex,
    },
    /// A node says that it can not go on.
    Failed {
        /// Which one.
        node: NodeIndex,
        /// Its reason.
        why: String,
    },
    /// The plan did something to the world.
    Planned(String),
    /// A client begins to connect.
    Dialled {
        /// The connection that may come of it.
        connection: ConnectionId,
        /// Whose.
        client: ClientIndex,
        /// To which node.
        node: NodeIndex,
        /// The stamp of the session whose resume token it shows.
        resumed: Option<u64>,
    },
    /// A client is connected.
    Opened {
        /// The new connection.
        connection: ConnectionId,
        /// Whose.
        client: ClientIndex,
        /// To which node.
        node: NodeIndex,
    },
    /// A client was not let in, or reached nobody.
    Refused {
        /// The connection that is none.
        connection: ConnectionId,
        /// Whose.
        client: ClientIndex,
        /// By which node.
        node: NodeIndex,
        /// Why.
        why: String,
    },
    /// A client of `pushmesh.v1` was welcomed.
    Welcomed {
        /// The connection.
        connection: ConnectionId,
        /// What the welcome says.
        welcome: Welcome,
    },
    /// A client of `pushmesh.v1` received any other envelope. A message follows as [`Event::Got`].
    Enveloped {
        /// The connection.
        connection: ConnectionId,
        /// Its type.
        kind: String,
        /// The message id, or the code of an error.
        id: Option<String>,
        /// What a message carries.
        data: Option<String>,
    },
    /// A client begins to close its connection.
    Closing {
        /// The connection.
        connection: ConnectionId,
    },
    /// A client stops to read and to answer.
    Stalled {
        /// The connection.
        connection: ConnectionId,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// It goes on.
    Resumed {
        /// The connection.
        connection: ConnectionId,
    },
    /// A client sends what no node takes.
    Blundered {
        /// The connection.
        connection: ConnectionId,
    },
    /// A client sent a message.
    Said {
        /// The connection.
        connection: ConnectionId,
        /// What it said.
        text: String,
    },
    /// The application at a node received a message of a client.
    Heard {
        /// Where.
        node: NodeIndex,
        /// Whose.
        client: ClientIndex,
        /// What it said.
        text: String,
    },
    /// A client received a frame.
    Got {
        /// Where.
        connection: ConnectionId,
        /// The text of the frame.
        text: String,
    },
    /// A node has flushed a message to the socket of a client: what was written before is with the operating
    /// system.
    Flushed {
        /// The connection.
        connection: ConnectionId,
        /// What the client's application is to receive.
        text: String,
    },
    /// The socket of a client has taken a part of what its node writes, and takes nothing for a while.
    Full {
        /// The connection.
        connection: ConnectionId,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A connection is over.
    Ended {
        /// Which one.
        connection: ConnectionId,
        /// How.
        end: End,
    },
    /// A push was handed to a node.
    Pushed {
        /// The push, which is also its payload.
        push: PushId,
        /// Where it entered.
        node: NodeIndex,
        /// Whom it is for.
        aim: Aim,
        /// The clients that it is for, whose connection the node looks for in the right place, and to
        /// whose node it has a link.
        found: Vec<ClientIndex>,
        /// How it was handed over.
        way: Way,
    },
    /// A backend calls a node over HTTP.
    Called {
        /// The call.
        call: CallId,
        /// Which node.
        node: NodeIndex,
        /// What it asks.
        ask: Ask,
        /// The numbers of its pushes.
        pushes: Vec<PushId>,
    },
    /// A node answered a call.
    Replied {
        /// The call.
        call: CallId,
        /// The status of the answer.
        status: u16,
        /// What it says. A list has one for each page.
        reply: Reply,
    },
    /// A call has no answer: nobody was reached, or the connection broke.
    Lost {
        /// The call.
        call: CallId,
        /// Why.
        why: String,
        /// When the connection was made that it came over, in simulated milliseconds; without one, when the
        /// call was made.
        line_ms: u64,
        /// For how long nothing had come over it when the call was made, in milliseconds.
        idle_ms: u64,
    },
    /// All agree, and nothing changes any more: from now on nodes have to answer exactly.
    Settled {
        /// The connections of the clients.
        connected: Connected,
        /// The names of all nodes.
        names: Vec<String>,
    },
    /// A node answered for a push.
    Answered {
        /// The push.
        push: PushId,
        /// What became of it at each session; of a broadcast the nodes that did not answer.
        sessions: Vec<Answer>,
        /// For a broadcast how many sessions were written to.
        delivered: u64,
    },
    /// A push was refused at once.
    Rejected {
        /// The push.
        push: PushId,
        /// Why.
        why: String,
    },
    /// Some code panicked.
    Panicked(String),
}

/// How a push was handed to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its own API. So many sessions were looked for.
    Embedded {
        /// How many; `None` for a broadcast.
        sessions: Option<usize>,
    },
    /// As a call over HTTP; such calls may overtake each other.
    Http,
    /// As a line of that call; lines of one call do not.
    Line(CallId),
}

/// What a welcome says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// The user.
    pub(crate) user: String,
    /// The device.
    pub(crate) device: String,
    /// The node.
    pub(crate) node: String,
    /// The stamp of the session.
    pub(crate) session: u64,
}

/// Whom a push is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// One client.
    Client(ClientIndex),
    /// All clients of a user.
    User(usize),
    /// Everybody.
    All,
}

impl Aim {
    /// Whether a client is among those that are meant.
    pub(crate) fn includes(self, client: ClientIndex) -> bool {
        match self {
            Aim::Client(wanted) => wanted == client,
            Aim::User(user) => user_of(client) == user,
            Aim::All => true,
        }
    }
}

/// What became of a push at one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The client, if it is named.
    pub(crate) client: Option<ClientIndex>,
    /// The name of the node that answered.
    pub(crate) node: Option<String>,
    /// What it said.
    pub(crate) outcome: Outcome,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame of that code, or without a code.
    Closed(Option<u16>),
    /// The client let go of the socket.
    Dropped,
    /// The node lost its power, and the client noticed.
    Reset,
    /// Any other way.
    Broken(String),
}

impl End {
    /// Whether frames that the node has written may be lost with it.
    pub(crate) fn loses(&self) -> bool {
        !matches!(self, End::Closed(_))
    }
}

/// The user of a client. Two of three clients share their user with another one.
pub(crate) fn user_of(client: ClientIndex) -> usize {
    client * 2 / 3
}

/// The name of a node.
pub(crate) fn node_name(node: NodeIndex) -> String {
    format!("n{}", node + 1)
}

/// The name that a node has after it was replaced so many times by one with another name.
pub(crate) fn replaced_name(node: NodeIndex, times: usize) -> String {
    if times == 0 { node_name(node) } else { format!("{}-{times}", node_name(node)) }
}

/// The node with that name, or that had it.
pub(crate) fn node_of(name: &str) -> Option<NodeIndex> {
    let number = name.strip_prefix('n')?.split('-').next()?;
    number.parse::<NodeIndex>().ok()?.checked_sub(1)
}

/// The name of a client's device.
pub(crate) fn device_name(client: ClientIndex) -> String {
    format!("d{client}")
}

/// The client with that device.
pub(crate) fn client_of(device: &str) -> Option<ClientIndex> {
    device.strip_prefix('d')?.parse().ok()
}

/// The name of a user.
pub(crate) fn user_name(user: usize) -> String {
    format!("u{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_each_of_its_names() {
        for times in 0..3 {
            assert_eq!(node_of(&replaced_name(11, times)), Some(11));
        }
        assert_eq!((node_of("n0"), node_of("m1"), node_of("n")), (None, None, None));
    }
}
