//! The node's end of a TCP connection: turmoil's stream, which takes now and then only a part of a write and
//! gives what has arrived some time later, and the record of what the node has flushed to its clients.
//!
//! ```text
//!   node ── write ──► Line ── a part, then nothing for a while ──► turmoil
//!                      │
//!   node ◄── read ─────┤◄── late, or with the next write that is taken in part ── turmoil
//!                      │
//!                      └── reads along: request ─► 101 ─► frames ─► Event::Flushed
//! ```
//!
//! Turmoil takes a segment whole or not at all. The buffer of a kernel may have room for a part of a frame,
//! and for the rest only later, or never. A client's last words may arrive in the moment in which that happens,
//! which chance alone would bring about too seldom. What is recorded here is what a node may call delivered.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use pushmesh::internals::schema::Envelope;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Sleep, sleep};
use turmoil::net::TcpStream;

use crate::client::envelope;
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::ConnectionId;
use crate::position::{Position, Segment};
use crate::world::World;

/// The parameter of a client's URL that names its connection. Nodes ignore what they do not know.
pub(crate) const CONNECTION: &str = "connection";

/// A connection that a node has accepted.
pub(crate) struct Line {
    stream: TcpStream,
    world: Arc<World>,
    talk: Talk,
    /// Its buffer is full until then.
    full: Option<Pin<Box<Sleep>>>,
    /// What has arrived and is given later.
    late: Option<Late>,
    /// Whether all that had arrived was given, and the node has waited for more. Only what it waited for may be late:
    /// what arrived behind that is there with it.
    waited: bool,
    reset: Reset,
}

/// Bytes of a client that the node does not see yet.
struct Late {
    bytes: Vec<u8>,
    until: Pin<Box<Sleep>>,
    /// They are there now, because a write was taken in part.
    due: bool,
    /// Who waits for them.
    reader: Waker,
}

/// What is written to a client, as far as it was read along.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frames {
    /// The begin of a frame that is not complete.
    begun: Vec<u8>,
    /// The segment of the welcome of a session that is kept.
    segment: Option<Segment>,
    /// The messages that are not flushed.
    messages: Vec<Written>,
}

/// A message that is written to a client.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    /// What the client's application is to receive.
    text: String,
    /// Where it stands, if the session is kept.
    at: Option<Position>,
}

/// Whether the client has let go of its end, as far as it is known here.
enum Reset {
    /// Nobody has asked.
    Unknown,
    Awaited(Pin<Box<dyn Future<Output = ()> + Send>>),
    Known,
}

/// What is said over a connection, as far as it was read along.
#[derive(Debug, PartialEq, Eq)]
enum Talk {
    /// The first line of the request is not complete.
    Asking(Vec<u8>),
    /// The head of the answer to a client is not complete.
    Answering(ConnectionId, Vec<u8>),
    /// A WebSocket.
    Framing(ConnectionId, Frames),
    /// A backend's.
    Other,
}

impl Line {
    /// The node's end of `stream`.
    pub(crate) fn new(stream: TcpStream, world: Arc<World>) -> Self {
        let (talk, reset) = (Talk::Asking(Vec::new()), Reset::Unknown);
        Self { stream, world, talk, full: None, late: None, waited: true, reset }
    }

    /// Fails once the client of this connection has let go of its end.
    fn look_for_reset(&mut self, connection: ConnectionId, cx: &mut Context<'_>) -> io::Result<()> {
        if let Reset::Unknown = self.reset {
            self.reset = Reset::Awaited(Box::pin(self.world.when_reset(connection)));
        }
        if let Reset::Awaited(reset) = &mut self.reset {
            if reset.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.reset = Reset::Known;
        }
        Err(ErrorKind::ConnectionReset.into())
    }

    /// Gives what is late, if its time has come. `Ready(false)`: nothing is late.
    fn give_late(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<bool> {
        let Some(late) = &mut self.late else { return Poll::Ready(false) };
        if !late.due && late.until.as_mut().poll(cx).is_pending() {
            late.reader.clone_from(cx.waker());
            return Poll::Pending;
        }
        late.due = true; // The rest may take another read.
        let given = late.bytes.len().min(buf.remaining());
        buf.put_slice(&late.bytes[..given]);
        late.bytes.drain(..given);
        if late.bytes.is_empty() {
            self.late = None;
        }
        Poll::Ready(true)
    }

    /// How much of a write there is room for, and for how long there is none from then on. `None`: for all.
    fn room(&mut self, len: usize) -> Option<(usize, Duration)> {
        let mut late = self.late.as_mut().filter(|late| !late.due);
        let room = self.world.taken_of(len, late.is_some())?;
        if let Some(late) = &mut late {
            late.due = true;
            late.reader.wake_by_ref();
        }
        Some(room)
    }

    /// Writes what there is room for.
    fn put(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.talk.said(&buf[..written]);
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.give_late(cx, buf)) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let waited = std::mem::replace(&mut self.waited, read.is_pending());
        ready!(read)?;
        let arrived = &buf.filled()[before..];
        self.talk.heard(arrived);
        let may_be_late = waited && self.talk.is_framing();
        let Some(late) = may_be_late.then(|| self.world.late(arrived.len())).flatten() else {
            return Poll::Ready(Ok(()));
        };
        let (bytes, until) = (arrived.to_vec(), Box::pin(sleep(late)));
        buf.set_filled(before);
        self.late = Some(Late { bytes, until, due: false, reader: cx.waker().clone() });
        self.give_late(cx, buf).map(|_| Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Talk::Framing(connection, _) = self.talk else { return self.put(cx, buf) };
        self.look_for_reset(connection, cx)?;
        if let Some(full) = &mut self.full {
            ready!(full.as_mut().poll(cx));
            self.full = None;
        }
        let Some((room, pause)) = self.room(buf.len()) else { return self.put(cx, buf) };
        let written = ready!(self.put(cx, &buf[..room]))?;
        self.full = Some(Box::pin(sleep(pause)));
        self.world.tell(Event::Full { connection, for_ms: pause.as_millis() as u64 });
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if let Talk::Framing(connection, frames) = &mut self.talk {
            let (connection, messages) = (*connection, std::mem::take(&mut frames.messages));
            for Written { text, at } in messages {
                if let Some(at) = at {
                    let what = Kept::Flushed { at, text: text.clone() };
                    self.world.tell(Event::Kept { connection, what });
                }
                self.world.tell(Event::Flushed { connection, text });
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Talk {
    /// Whether it is a client's, and the handshake is over.
    fn is_framing(&self) -> bool {
        matches!(self, Talk::Framing(..))
    }

    /// The node has read this.
    fn heard(&mut self, bytes: &[u8]) {
        let Talk::Asking(request) = self else { return };
        request.extend_from_slice(bytes);
        let Some(end) = request.iter().position(|byte| *byte == b'\n') else { return };
        let connection = connection(&String::from_utf8_lossy(&request[..end]));
        *self = connection.map_or(Talk::Other, |connection| Talk::Answering(connection, Vec::new()));
    }

    /// The node has written this.
    fn said(&mut self, bytes: &[u8]) {
        if let Talk::Answering(connection, head) = self {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|at| at == b"\r\n\r\n") else { return };
            let rest = head.split_off(end + 4);
            let welcome = head.starts_with(b"HTTP/1.1 101 ");
            *self = if welcome { Talk::Framing(*connection, Frames::default()) } else { Talk::Other };
            self.frames(&rest);
        } else {
            self.frames(bytes);
        }
    }

    fn frames(&mut self, bytes: &[u8]) {
        let Talk::Framing(_, frames) = self else { return };
        frames.begun.extend_from_slice(bytes);
        while let Some((opcode, payload, len)) = frame(&frames.begun) {
            let text = (opcode == TEXT).then(|| String::from_utf8_lossy(payload).into_owned());
            frames.begun.drain(..len);
            text.into_iter().for_each(|text| frames.text(text));
        }
    }
}

impl Frames {
    /// A text frame is written.
    fn text(&mut self, text: String) {
        match envelope::read(&text) {
            Some(Envelope::Message { data: Some(data), n, segment, .. }) => {
                let segment = segment.map_or(self.segment.clone(), |segment| Segment::new(&segment));
                let at = segment.zip(n).map(|(segment, n)| Position { segment, n });
                self.messages.push(Written { text: data.into_owned(), at });
            }
            Some(Envelope::Welcome { segment: Some(segment), .. }) => self.segment = Segment::new(&segment),
            Some(_) => {}
            None => self.messages.push(Written { text, at: None }), // A payload as it was pushed.
        }
    }
}

/// The connection that the first line of a request names.
fn connection(line: &str) -> Option<ConnectionId> {
    let (_, query) = line.split(' ').nth(1)?.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == CONNECTION)?.1.parse().ok()
}

/// The first frame: its kind, its payload and how long it is in all. `None`: it is not complete.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (len, rest) = match second {
        126 => rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len) as usize, rest))?,
        len => (usize::from(*len), rest),
    };
    let header = bytes.len() - rest.len();
    Some((first & 0xf, rest.get(..len)?, header + len))
}

/// The opcode of a text frame. Source: RFC 6455 section 5.2.
const TEXT: u8 = 1;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::{IpAddr, Ipv4Addr};
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;
    use turmoil::net::TcpListener;

    use super::*;
    use crate::trace::Trace;
    use crate::world::LATE_ARRIVAL_MS_MAX;

    /// How long a node takes to read what a client has said in so many segments.
    fn read_all(seed: u64, segments: usize) -> Duration {
        let (latency, port) = (Duration::from_millis(1), 80);
        let mut builder = turmoil::Builder::new();
        builder.tick_duration(latency).min_message_latency(latency).max_message_latency(latency);
        let mut sim = builder.tcp_capacity(2 * segments).build();
        let took = Rc::new(Cell::new(None));
        let read = Rc::clone(&took);
        sim.client("client", async move {
            let mut stream = TcpStream::connect(("node", port)).await?;
            for _ in 0..segments {
                stream.write_all(b"x").await?;
            }
            sleep(Duration::from_secs(60)).await;
            Ok(())
        });
        sim.client("node", async move {
            let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), port)).await?;
            let mut line = Line::new(listener.accept().await?.0, World::new(seed, Trace::new(None)?));
            line.talk = Talk::Framing(7, Frames::default());
            sleep(Duration::from_secs(1)).await; // They are all there.
            let begun = Instant::now();
            line.read_exact(&mut vec![0; segments]).await?;
            read.set(Some(begun.elapsed()));
            Ok(())
        });
        while took.get().is_none() && sim.elapsed() < Duration::from_secs(50) {
            sim.step().unwrap();
        }
        took.get().expect("all of it is read")
    }

    #[test]
    fn what_has_arrived_behind_a_late_segment_is_there_with_it() {
        let most = Duration::from_millis(LATE_ARRIVAL_MS_MAX + 2);
        let took: Vec<_> = (0..20).map(|seed| read_all(seed, 200)).collect();
        assert!(took.iter().any(|took| *took > Duration::from_millis(1)), "nothing is late: {took:?}");
        assert!(took.iter().all(|took| *took <= most), "{took:?}");
    }

    fn texts(talk: &Talk) -> Vec<&str> {
        match talk {
            Talk::Framing(7, frames) => frames.messages.iter().map(|written| &*written.text).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_to_a_client_is_read_along_however_it_is_cut() {
        let long = format!("m{}", "0".repeat(200));
        let mut said = b"HTTP/1.1 101 Switching Protocols\r\nx: y\r\n\r\n\x81\x02m1\x89\x00".to_vec();
        said.extend([&b"\x81\x7e\x00\xc9"[..], long.as_bytes()].concat());
        let envelope = br#"{"type":"message","id":"p3","data":"m3"}"#;
        said.extend([&[0x81, envelope.len() as u8], &envelope[..], b"\x88\x02\x03\xe8"].concat());
        for piece in [1, 3, said.len()] {
            let mut talk = Talk::Asking(Vec::new());
            talk.heard(b"GET /v1/ws?user=u0&connection=7 HTT");
            talk.heard(b"P/1.1\r\nhost: n1\r\n\r\n");
            said.chunks(piece).for_each(|piece| talk.said(piece));
            assert_eq!(texts(&talk), ["m1", &long, "m3"], "in pieces of {piece}");
        }
    }

    #[test]
    fn a_part_of_a_frame_is_no_message() {
        let mut talk = Talk::Framing(7, Frames::default());
        talk.said(b"\x81\x02m");
        assert_eq!(texts(&talk), [""; 0]);
        talk.said(b"1");
        assert_eq!(texts(&talk), ["m1"]);
    }

    #[test]
    fn what_backends_and_refused_clients_are_told_is_not_recorded() {
        let mut talk = Talk::Asking(Vec::new());
        talk.heard(b"GET /v1/stats HTTP/1.1\r\n\r\n");
        assert_eq!(talk, Talk::Other);
        let mut talk = Talk::Answering(7, Vec::new());
        talk.said(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(talk, Talk::Other);
    }
}
