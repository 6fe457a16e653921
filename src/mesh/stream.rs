//! The kinds of streams that a link carries.
//!
//! The first byte of a stream is its kind. The mesh itself opens hellos, probes, lanes, receipts and gossip; who uses
//! another kind describes it here in one constant of its own and registers a
//! [`StreamHandler`](crate::mesh::carried::StreamHandler) for it. docs/PROTOCOL.md lists all kinds.

use quinn::{Connection, RecvStream, SendStream};

use crate::config::MeshVersion;
use crate::limits;
use crate::mesh::codec::{CodecError, FrameReader};

/// Which streams of a link are written first: those of a greater class, as long as they have bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Transfers that may take long.
    Bulk = 0,
    /// What somebody waits for.
    Interactive = 10,
    /// Changes of what nodes replicate: requests are routed by it.
    State = 20,
    /// What says that nodes are alive.
    Control = 30,
}

impl Priority {
    /// Gives it to a stream from now on.
    pub(crate) fn apply(self, stream: &SendStream) {
        let _ = stream.set_priority(self as i32); // Fails on a closed stream only, and then so does the write.
    }
}

/// A kind of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamKind {
    /// The first byte of the stream.
    pub(crate) byte: u8,
    /// What logs call it.
    pub(crate) name: &'static str,
    /// Whether the accepting side answers on the stream.
    pub(crate) both_ways: bool,
    /// Bytes of the largest payload beside a frame's header; 0 where frames are headers alone.
    pub(crate) payload_bytes_max: usize,
    /// Which streams of a link are written first.
    pub(crate) priority: Priority,
}

impl StreamKind {
    /// The two bytes that open a stream of this kind.
    pub(crate) fn preface(self, version: MeshVersion) -> [u8; 2] {
        [self.byte, version.number()]
    }

    /// Opens a stream that only this node writes, on a connection with this version.
    ///
    /// # Errors
    /// The link is gone.
    pub(crate) async fn open(
        self,
        connection: &Connection,
        version: MeshVersion,
    ) -> Result<SendStream, quinn::WriteError> {
        let mut stream = connection.open_uni().await?;
        self.priority.apply(&stream);
        stream.write_all(&self.preface(version)).await?;
        Ok(stream)
    }

    /// Opens a stream that the peer answers.
    ///
    /// # Errors
    /// [`CodecError::Broken`]: the link is gone.
    pub(crate) async fn ask(
        self,
        connection: &Connection,
        version: MeshVersion,
    ) -> Result<(SendStream, FrameReader), CodecError> {
        let broken = |error: &dyn std::fmt::Display| CodecError::Broken(error.to_string());
        let (mut send, recv) = connection.open_bi().await.map_err(|error| broken(&error))?;
        self.priority.apply(&send);
        send.write_all(&self.preface(version)).await.map_err(|error| broken(&error))?;
        Ok((send, FrameReader::answers(recv)))
    }
}

/// A stream that the peer has opened, behind its first bytes.
pub(crate) struct Inbound {
    /// What the peer sends.
    pub(crate) reader: FrameReader,
    /// Where it is answered, if it is of a kind that is.
    pub(crate) answer: Option<SendStream>,
}

impl Inbound {
    /// Reads the kind of a stream of a connection with this version; `kinds` knows those that are expected.
    ///
    /// # Errors
    /// [`CodecError`]: the kind or its version is unknown, or it does not go both ways.
    pub(crate) async fn open(
        recv: RecvStream,
        answer: Option<SendStream>,
        version: MeshVersion,
        kinds: impl Fn(u8) -> Option<StreamKind>,
    ) -> Result<(StreamKind, Self), CodecError> {
        let (byte, reader) = FrameReader::open(recv, version).await?;
        let kind = kinds(byte).ok_or(CodecError::Kind(byte))?;
        if kind.both_ways != answer.is_some() {
            let name = kind.name;
            return Err(CodecError::Header(format!("a stream of kind {name} is not expected here")));
        }
        Ok((kind, Self { reader: reader.with_payloads(kind.payload_bytes_max), answer }))
    }
}

/// Bidirectional: who are you. The first stream of a connection.
pub(crate) const HELLO: StreamKind = both_ways(1, "hello", Priority::Control);
/// Bidirectional: which incarnation of my name do you know. The first stream of a connection.
pub(crate) const PROBE: StreamKind = both_ways(2, "probe", Priority::Control);
/// Requests.
pub(crate) const LANE: StreamKind = StreamKind {
    payload_bytes_max: limits::FRAME_PAYLOAD_BYTES_MAX,
    ..one_way(3, "lane", Priority::Interactive)
};
/// Receipts.
pub(crate) const RECEIPTS: StreamKind = one_way(4, "receipts", Priority::Interactive);
/// One gossip message that exceeds a datagram.
pub(crate) const GOSSIP: StreamKind = one_way(5, "gossip", Priority::Control);

const fn one_way(byte: u8, name: &'static str, priority: Priority) -> StreamKind {
    StreamKind { byte, name, both_ways: false, payload_bytes_max: 0, priority }
}

/// A kind whose streams are answered, and whose frames have no payload.
pub(crate) const fn both_ways(byte: u8, name: &'static str, priority: Priority) -> StreamKind {
    StreamKind { byte, name, both_ways: true, payload_bytes_max: 0, priority }
}
