//! What can happen in a run, beside packets. Checkers see nothing else of clients and pushes.

use std::collections::BTreeMap;

use pushmesh::NodeName;

use crate::aim::Aim;
use crate::answer::Answer;
use crate::ask::Ask;
use crate::decision::Decision;
use crate::event::kept::Kept;
use crate::id::{CallId, ClientIndex, ConnectionId, NodeIndex, PushId};
use crate::reply::Reply;

pub(crate) mod kept;

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
    /// A node that had not joined yet stopped, and its process starts the next boot of it at once.
    BeginsAgain {
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
    /// A node says that it cannot go on.
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
        /// Its type; the whole text if that is nothing that a client may be told.
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
    /// Something that concerns only sessions which are kept.
    Kept {
        /// The connection.
        connection: ConnectionId,
        /// What.
        what: Kept,
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
        /// whose node it has a link; with that node.
        found: Vec<(ClientIndex, NodeIndex)>,
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
    Agreed {
        /// The connections of the clients.
        connected: Connected,
        /// The names of all nodes.
        names: Vec<String>,
    },
    /// A push that was handed to a node has this id.
    Named {
        /// The push.
        push: PushId,
        /// Its message id.
        id: String,
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
    /// A node has decided something about a session. Its log tells of it: not a part of the trace.
    Decided {
        /// Its name.
        by: NodeName,
        /// What.
        decision: Decision,
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

/// The connections that are open, with their nodes, by client.
pub(crate) type Connected = BTreeMap<ClientIndex, BTreeMap<ConnectionId, NodeIndex>>;
