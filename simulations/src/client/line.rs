//! A connection that is open, at its client's end: what it reads, what it sends, and what it is told to do.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pushmesh::internals::schema::Envelope;
use pushmesh::limits;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message};
use turmoil::net::TcpStream;

use crate::client::envelope;
use crate::client::manner::{Goes, Manner};
use crate::client::memory::Memory;
use crate::client::order::Order;
use crate::event::kept::{Kept, Resumed};
use crate::event::{End, Event, Welcome};
use crate::id::ConnectionId;
use crate::plan::Blunder;
use crate::position::{Position, Segment};
use crate::settings::Settings;
use crate::world::World;

/// A connection that is open.
pub(super) struct Line<'a> {
    pub(super) world: &'a World,
    pub(super) settings: &'a Settings,
    pub(super) connection: ConnectionId,
    pub(super) socket: WebSocketStream<TcpStream>,
    pub(super) speaks: Speaks<'a>,
    /// The code of the close frame.
    pub(super) code: Option<u16>,
    /// After so long without a frame the client takes the connection for broken.
    pub(super) quiet_max: Option<Duration>,
}

/// Which protocol a client speaks.
pub(super) enum Speaks<'a> {
    /// Payloads as they are.
    Plain,
    /// `pushmesh.v1`: it acknowledges, and comes back with its resume token.
    Envelopes(&'a Mutex<Memory>),
    /// The same, and its session is kept.
    Kept(Keeper<'a>),
}

/// What a client knows of one connection whose session is to be kept.
pub(super) struct Keeper<'a> {
    memory: &'a Mutex<Memory>,
    manner: Manner,
    /// Before then its acknowledgements get lost.
    heard_from: Instant,
    /// The segment of the welcome. `None`: the session is not kept.
    segment: Option<Segment>,
    /// Of which segments there is something to acknowledge, and when it will.
    owed: BTreeSet<Segment>,
    acks_at: Option<Instant>,
    received: u32,
}

impl<'a> Keeper<'a> {
    /// Of a connection that is open now.
    pub(super) fn new(memory: &'a Mutex<Memory>, manner: Manner) -> Self {
        let heard_from = Instant::now() + manner.acks_lost;
        Self { memory, manner, heard_from, segment: None, owed: BTreeSet::new(), acks_at: None, received: 0 }
    }

    fn memory(&self) -> MutexGuard<'a, Memory> {
        self.memory.lock().expect(NOT_POISONED)
    }

    /// There is something to acknowledge, at once or after a while.
    fn owes(&mut self, segment: Segment, at_once: bool) {
        self.owed.insert(segment);
        let after = if at_once { Duration::ZERO } else { self.manner.acks_after };
        let at = (Instant::now() + after).max(self.heard_from);
        self.acks_at = Some(self.acks_at.map_or(at, |before| before.min(at)));
    }

    /// Whether it breaks now, in the middle of what it is sent.
    fn breaks(&self) -> bool {
        self.manner.breaks_after.is_some_and(|after| self.received >= after)
    }
}

impl<'a> Line<'a> {
    /// Reads until the connection is over. Orders come first, so that their moment is the plan's.
    pub(super) async fn read(mut self, mut orders: mpsc::Receiver<Order>) -> End {
        loop {
            let quiet = self.quiet_max.map(|quiet| Instant::now() + quiet);
            let acks_at = match &self.speaks {
                Speaks::Kept(keeper) => keeper.acks_at,
                Speaks::Plain | Speaks::Envelopes(_) => None,
            };
            let frame = tokio::select! {
                biased;
                order = orders.recv() => match self.obey(order, &mut orders).await {
                    Some(end) => return end,
                    None => continue,
                },
                () = sleep_until(acks_at.unwrap_or_else(Instant::now)), if acks_at.is_some() => {
                    self.acknowledge().await;
                    continue;
                }
                frame = self.socket.next() => frame,
                () = sleep_until(quiet.unwrap_or_else(Instant::now)), if quiet.is_some() => {
                    return End::Broken("the node is silent".to_owned());
                }
            };
            match frame {
                Some(Ok(Message::Text(text))) => self.got(text.as_str()).await,
                Some(Ok(Message::Close(frame))) => self.code = frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                None | Some(Err(tungstenite::Error::ConnectionClosed)) => return End::Closed(self.code),
                Some(Err(error)) => return End::Broken(error.to_string()),
            }
            if let Speaks::Kept(keeper) = &self.speaks
                && keeper.breaks()
                && !self.world.is_healed()
            {
                self.world.reset(self.connection);
                return End::Dropped;
            }
        }
    }

    /// Does what it is told. Returns the end, if that is one.
    async fn obey(&mut self, order: Option<Order>, orders: &mut mpsc::Receiver<Order>) -> Option<End> {
        let connection = self.connection;
        match order {
            Some(Order::Close) => {
                self.close().await;
                None
            }
            Some(Order::Reset) => Some(End::Reset),
            Some(Order::Drop) | None => Some(End::Dropped),
            Some(Order::Say(text)) => {
                // Unique, and it tells its connection.
                let text = format!("{text}-{connection}");
                let frame = match self.speaks {
                    Speaks::Plain => text.clone(),
                    Speaks::Envelopes(_) | Speaks::Kept(_) => envelope::message(&text),
                };
                // What does not even get into its own buffer was not said.
                if self.has_room().await {
                    self.world.tell(Event::Said { connection, text });
                    self.send(Message::text(frame)).await;
                }
                None
            }
            Some(Order::Blunder(blunder)) => {
                self.world.tell(Event::Blundered { connection });
                let not_text = || Message::Frame(Frame::message(vec![0xff], OpCode::Data(Data::Text), true));
                let frames = match (blunder, &self.speaks) {
                    (Blunder::TooBig, _) => {
                        vec![Message::text("x".repeat(limits::CLIENT_MESSAGE_BYTES_MAX + 1))]
                    }
                    (Blunder::NotText, _) | (Blunder::Nonsense, Speaks::Plain) => vec![not_text()],
                    (Blunder::Nonsense, _) => vec![Message::text("{"); NONSENSE_FRAMES],
                };
                for frame in frames {
                    self.send(frame).await;
                }
                None
            }
            Some(Order::Stall(for_ms)) => self.stall(for_ms, orders).await,
        }
    }

    /// Closes in good order.
    async fn close(&mut self) {
        let connection = self.connection;
        let goes = match &self.speaks {
            Speaks::Kept(keeper) => keeper.manner.goes,
            Speaks::Plain | Speaks::Envelopes(_) => Goes::Away,
        };
        self.world.tell(Event::Closing { connection });
        if goes != Goes::Away {
            self.world.tell(Event::Kept { connection, what: Kept::Bye });
        }
        if goes == Goes::Bye && self.has_room().await {
            self.send(Message::text(envelope::bye())).await;
            return;
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // A socket that is broken says so when it is read next.
        let _ = timeout(SEND_TIMEOUT, self.socket.close((goes != Goes::Away).then_some(frame))).await;
    }

    /// Neither reads nor answers for a while.
    async fn stall(&mut self, for_ms: u64, orders: &mut mpsc::Receiver<Order>) -> Option<End> {
        let connection = self.connection;
        self.world.tell(Event::Stalled { connection, for_ms });
        let until = Instant::now() + Duration::from_millis(for_ms);
        let end = loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Stall(_) | Order::Say(_) | Order::Blunder(_)) => {}
                    Some(Order::Reset) => break Some(End::Reset),
                    Some(Order::Close | Order::Drop) | None => {
                        self.world.reset(connection);
                        break Some(End::Dropped);
                    }
                },
                () = sleep_until(until) => break None,
            }
        };
        // Turmoil forgets the end of a connection that meets a full window.
        self.quiet_max = self.settings.is_watchful().then_some(self.settings.heartbeat_timeout);
        self.world.tell(Event::Resumed { connection });
        end
    }

    async fn got(&mut self, text: &str) {
        let connection = self.connection;
        if matches!(self.speaks, Speaks::Plain) {
            self.world.tell(Event::Got { connection, text: text.to_owned() });
            return;
        }
        let read = envelope::read(text);
        let understood = match (read, &self.speaks) {
            (Some(envelope), Speaks::Kept(_)) => self.got_kept(envelope).await,
            (Some(envelope), _) => self.got_envelope(envelope).await,
            (None, _) => None,
        };
        if understood.is_none() {
            self.told(text, None, None);
        }
    }

    /// An envelope has come. `None`: clients do nothing that has such an answer.
    async fn got_envelope(&mut self, envelope: Envelope<'_>) -> Option<()> {
        let connection = self.connection;
        match envelope {
            Envelope::Welcome { user, device, node, session, resume: Some(resume), keep: None, .. } => {
                let [user, device, node] = [user.to_string(), device.to_string(), node.to_string()];
                let welcome = Welcome { user, device, node, session };
                self.world.tell(Event::Welcomed { connection, welcome });
                self.memory()?.has_token(session, &resume);
            }
            Envelope::Message { id, n: None, data: Some(text), base64: None, .. } => {
                let text = text.into_owned();
                self.told("message", Some(id.to_string()), Some(text.clone()));
                self.world.tell(Event::Got { connection, text });
                self.send(Message::text(envelope::ack(id.into_owned()))).await;
            }
            Envelope::Error { code, .. } => self.told("error", Some(code.into_owned()), None),
            _ => return None,
        }
        Some(())
    }

    /// The same for a client that wants its session to be kept.
    async fn got_kept(&mut self, envelope: Envelope<'_>) -> Option<()> {
        let connection = self.connection;
        let tell = |what| self.world.tell(Event::Kept { connection, what });
        match envelope {
            Envelope::Welcome {
                user,
                device,
                node,
                session,
                resume: Some(resume),
                keep: Some(keep),
                window: Some(WINDOW),
                segment: Some(segment),
                n: Some(0),
                resumed: Some(resumed),
                missing,
                attributes: None,
            } => {
                let (segment, resumed) = (Segment::new(&segment)?, Resumed::named(&resumed)?);
                let missing = envelope::missing(&missing)?;
                let [user, device, node] = [user.to_string(), device.to_string(), node.to_string()];
                self.world
                    .tell(Event::Welcomed { connection, welcome: Welcome { user, device, node, session } });
                tell(Kept::Welcomed { segment: segment.clone(), keep, resumed, missing });
                let keeper = self.keeper()?;
                keeper.memory().welcomed(session, &resume, &segment, resumed);
                keeper.segment = Some(segment);
            }
            Envelope::Message { id, n: Some(n), segment, ack, data: Some(text), base64: None } => {
                let (id, text) = (id.into_owned(), text.into_owned());
                let keeper = self.keeper()?;
                let segment = match segment {
                    Some(segment) => Segment::new(&segment)?,
                    None => keeper.segment.clone()?,
                };
                let at = Position { segment, n };
                let taken = keeper.memory().takes(&at, id.as_str());
                keeper.received += 1;
                keeper.owes(at.segment.clone(), ack);
                // Of an earlier segment a node takes the client's word for all that it holds: another one may have sent it.
                let ahead = keeper.manner.ahead && keeper.segment.as_ref() == Some(&at.segment);
                keeper.manner.ahead &= !ahead;
                self.told("message", Some(id.to_string()), Some(text.clone()));
                let what = Kept::Received { at: at.clone(), id: id.to_string(), text: text.clone(), taken };
                self.world.tell(Event::Kept { connection, what });
                if taken {
                    self.world.tell(Event::Got { connection, text });
                }
                if ahead {
                    // Beyond the window: no node has sent that.
                    self.ack(Position { n: n + AHEAD, ..at }, true).await;
                }
            }
            Envelope::Gap { segment, from, to, why } => {
                let segment = Segment::new(&segment)?;
                tell(Kept::Gap { segment: segment.clone(), from, to, why: why.into_owned() });
                let keeper = self.keeper()?;
                keeper.memory().moves(&segment, to);
                keeper.owes(segment, false);
            }
            Envelope::Closed { segment, n } => {
                let segment = Segment::new(&segment)?;
                tell(Kept::Closed(Position { segment: segment.clone(), n }));
                self.keeper()?.memory().closed(&segment);
            }
            Envelope::Resumed { resumed, missing } => {
                let (resumed, missing) = (Resumed::named(&resumed)?, envelope::missing(&missing)?);
                tell(Kept::Resumed { resumed, missing });
            }
            Envelope::Error { code, .. } if code == "ack_ahead" => tell(Kept::AheadRefused),
            // Not kept, because some member of the cluster cannot.
            other => return self.got_envelope(other).await,
        }
        Some(())
    }

    /// Sends what there is to acknowledge.
    async fn acknowledge(&mut self) {
        let Some(keeper) = self.keeper() else { return };
        keeper.acks_at = None;
        let owed = std::mem::take(&mut keeper.owed);
        for segment in owed {
            let n = self.keeper().map_or(0, |keeper| keeper.memory().has(&segment));
            self.ack(Position { segment, n }, false).await;
        }
    }

    async fn ack(&mut self, at: Position, ahead: bool) {
        let connection = self.connection;
        let Some(keeper) = self.keeper() else { return };
        let frame = envelope::ack_up_to(&at, keeper.segment.as_ref());
        // It counts as acknowledged from the moment in which it may be read.
        let what = if ahead { Kept::Ahead(at) } else { Kept::Acked(at) };
        self.world.tell(Event::Kept { connection, what });
        self.send(Message::text(frame)).await;
    }

    fn keeper(&mut self) -> Option<&mut Keeper<'a>> {
        match &mut self.speaks {
            Speaks::Kept(keeper) => Some(keeper),
            Speaks::Plain | Speaks::Envelopes(_) => None,
        }
    }

    fn memory(&self) -> Option<MutexGuard<'_, Memory>> {
        match &self.speaks {
            Speaks::Plain => None,
            Speaks::Envelopes(memory) => Some(memory.lock().expect(NOT_POISONED)),
            Speaks::Kept(keeper) => Some(keeper.memory()),
        }
    }

    fn told(&self, kind: &str, id: Option<String>, data: Option<String>) {
        let connection = self.connection;
        self.world.tell(Event::Enveloped { connection, kind: kind.to_owned(), id, data });
    }

    /// Whether a frame that is sent now is sent sooner or later, if the connection lasts.
    async fn has_room(&mut self) -> bool {
        let ready = poll_fn(|cx| self.socket.poll_ready_unpin(cx));
        timeout(SEND_TIMEOUT, ready).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Sends a frame; a client that cannot at once leaves it.
    async fn send(&mut self, frame: Message) {
        // A socket that is broken says so when it is read next.
        let _ = timeout(SEND_TIMEOUT, self.socket.send(frame)).await;
    }
}

/// Messages on their way that a client has not acknowledged, at most, as the welcome says.
const WINDOW: u64 = limits::WINDOW as u64;
/// How far a client acknowledges beyond what it has, if it does: a window is sent at most.
const AHEAD: u64 = 2 * WINDOW;
/// How long a client tries to send a frame. Source: the sockets of a run take it at once or, with a
/// full window, not at all.
const SEND_TIMEOUT: Duration = Duration::from_millis(1);
/// Frames that are no envelopes, sent in a row. Source: one more than a node bears.
const NONSENSE_FRAMES: usize = 9;
const NOT_POISONED: &str = "no panic happens under this lock";
