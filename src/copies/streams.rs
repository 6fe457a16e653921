//! The streams between owners and the members of their groups.
//!
//! Each node opens one on each link, and writes the logs of its own groups there; the other side acknowledges on it. Nothing of it
//! is kept when it breaks: the next one begins with all that was not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use quinn::SendStream;
use serde::Serialize;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::copies::Copies;
use crate::copies::frame::{Full, Header, LOG, LogAnswer, LogFrame, Received, Sent};
use crate::copies::parts::Parts;
use crate::copies::peers::Outbox;
use crate::mesh::Link;
use crate::mesh::carried::{Carried, LinkTask, StreamHandler};
use crate::mesh::codec::{CodecError, FrameReader, write_frame};
use crate::mesh::conduct::Breach;
use crate::mesh::frame::Features;
use crate::mesh::stream::{Inbound, StreamKind};
use crate::quorum::{Boot, Held, SealAnswer, ToMember};
use crate::session::Copied;

impl Copies {
    /// Registers what it does on links.
    #[must_use]
    pub(crate) fn register(self: &Arc<Self>, carried: Carried) -> Carried {
        carried.streams(Arc::new(Logs(Arc::clone(self)))).task(Arc::new(Logs(Arc::clone(self))))
    }

    /// Writes the logs of this node's groups to a peer until the stream breaks, or another one takes its place.
    async fn write_logs(&self, link: &Link, to: &Boot) -> Result<(), CodecError> {
        let (mut stream, reader) = LOG.ask(link.connection(), link.version()).await?;
        let mut reader = reader.with_payloads(LOG.payload_bytes_max);
        let mut parts = Parts::default();
        let open = OpenStream { copies: self, to, outbox: self.peers.open(to) };
        self.connected(to);
        self.changed.notify_one();
        loop {
            tokio::select! {
                frames = open.outbox.take() => match frames {
                    Some(frames) => write_all(&mut stream, sent(frames)).await?,
                    None => return Ok(()),
                },
                answer = reader.next::<LogAnswer<Header>>() => {
                    let Some((answer, payload)) = answer? else { return Ok(()) };
                    open.outbox.answered();
                    if let Some(answer) = self.whole(answer, &payload, &mut parts)? {
                        self.answered(to, answer);
                    }
                }
            }
        }
    }

    /// An answer, with the parts that have come before it. `None`: it is a part itself, or there is no room for it here: whoever has
    /// asked asks again.
    ///
    /// # Errors
    /// No node says that.
    pub(super) fn whole(
        &self,
        answer: LogAnswer<Header>,
        payload: &Bytes,
        parts: &mut Parts,
    ) -> Result<Option<LogAnswer<Copied>>, CodecError> {
        answer.check()?;
        let mut received = Received::new(payload, &self.parts.store);
        let answer = answer.map(|header| received.message(header));
        received.check()?;
        Ok(match answer {
            LogAnswer::Part { owner, key, entries } => {
                parts.add(owner, key, entries);
                None
            }
            LogAnswer::Sealed {
                owner,
                key,
                claim,
                answer: SealAnswer::Tail { epoch, configs, entries, beyond },
            } => {
                let entries = parts.end(&owner, key, entries);
                let tail = |entries| SealAnswer::Tail { epoch, configs, entries, beyond };
                entries.map(tail).map(|answer| LogAnswer::Sealed { owner, key, claim, answer })
            }
            answer => Some(answer),
        })
    }

    /// Reads the logs of a peer's groups until the stream breaks. Before anything else the peer is told of former boots, as far as it
    /// understands that: it is ready when its members have answered, and a client of such a boot may come to it then.
    async fn read_logs(
        &self,
        link: &Link,
        reader: &mut FrameReader,
        answers: &mut SendStream,
    ) -> Result<(), Breach> {
        let from = &boot_of(link);
        if link.features().has(Features::FORMER) {
            write_all(answers, answered(self.former_known(from))).await?;
        }
        let mut parts = BTreeMap::new();
        while let Some(first) = reader.next::<LogFrame<Header>>().await? {
            let mut next = Some(first);
            let (mut acked, mut others) = (BTreeMap::new(), Vec::new());
            // What has arrived by now is answered together.
            while let Some((frame, payload)) = next {
                match self.read(from, frame, &payload, &mut parts)? {
                    Ok(answers) => {
                        for answer in answers {
                            match answer {
                                LogAnswer::Acked(group, place) => drop(acked.insert(group, place)),
                                answer => others.push(answer),
                            }
                        }
                    }
                    Err(Full) => {
                        warn!(peer = %from.name, "there is no room for what a peer accepts: it has to choose another member");
                        self.parts.metrics.copies_refused.increment(1);
                        write_frame(answers, &LogAnswer::<Header>::Full).await?;
                        return Ok(());
                    }
                }
                next = match reader.next::<LogFrame<Header>>().now_or_never() {
                    Some(next) => next?,
                    None => None,
                };
            }
            let acked = acked.into_iter().map(|(group, acked)| LogAnswer::Acked(group, acked));
            others.extend(acked);
            if others.is_empty() {
                others.push(LogAnswer::Read);
            }
            write_all(answers, answered(others)).await?;
        }
        Ok(())
    }

    pub(super) fn read(
        &self,
        from: &Boot,
        frame: LogFrame<Header>,
        payload: &Bytes,
        parts: &mut BTreeMap<u8, Held<Copied>>,
    ) -> Result<Result<Vec<LogAnswer<Copied>>, Full>, Breach> {
        frame.check(from)?;
        let mut received = Received::new(payload, &self.parts.store);
        let frame = frame.map(|header| received.message(header));
        received.check()?;
        if received.is_full() {
            return Ok(Err(Full));
        }
        match frame {
            LogFrame::Part { group, mut held } => {
                let all = parts.entry(group).or_insert_with(Held::nothing);
                all.entries.append(&mut held.entries);
                all.follows.append(&mut held.follows);
                all.fences.append(&mut held.fences);
            }
            LogFrame::ToMember { group, frame: ToMember::Open { config, place, .. } } => {
                let held = parts.remove(&group).unwrap_or_else(Held::nothing);
                let opened = self.holding.told(from, group, ToMember::Open { config, place, held });
                return Ok(Ok(opened.into_iter().collect()));
            }
            LogFrame::ToMember { group, frame } => {
                return Ok(Ok(self.holding.told(from, group, frame).into_iter().collect()));
            }
            LogFrame::Seal { owner, seal } => {
                let (key, claim) = (seal.key, seal.fence.stamp);
                let answer = self.holding.seal(&owner, seal);
                return Ok(Ok(LogAnswer::sealed(&owner, key, claim, answer)));
            }
            LogFrame::Announced { group, config } => self.announced(from, group, &config),
            LogFrame::Release { owner, release } => self.released(&owner, release),
        }
        Ok(Ok(Vec::new()))
    }
}

/// A stream to a boot that is open.
struct OpenStream<'a> {
    copies: &'a Copies,
    to: &'a Boot,
    outbox: Arc<Outbox>,
}

/// Also where the task of the link ends.
impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        if self.copies.peers.close(self.to, &self.outbox) {
            self.copies.changed.notify_one();
        }
    }
}

/// Frames as they travel, with the payloads behind each, in as few chunks as that takes.
pub(super) fn sent(frames: VecDeque<LogFrame<Copied>>) -> Vec<Bytes> {
    chunks(frames.into_iter().flat_map(LogFrame::split), |frame, sent| {
        frame.map(|copied| sent.header(&copied))
    })
}

/// The same of answers.
pub(super) fn answered(answers: Vec<LogAnswer<Copied>>) -> Vec<Bytes> {
    chunks(answers.into_iter().flat_map(LogAnswer::split), |answer, sent| {
        answer.map(|copied: Copied| sent.header(&copied))
    })
}

fn chunks<F, H: Serialize>(
    frames: impl Iterator<Item = F>,
    headers: impl Fn(F, &mut Sent) -> H,
) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for frame in frames {
        let mut sent = Sent::now();
        let frame = headers(frame, &mut sent);
        sent.follow(&frame, &mut chunks);
    }
    chunks
}

async fn write_all(stream: &mut SendStream, mut chunks: Vec<Bytes>) -> Result<(), CodecError> {
    stream.write_all_chunks(&mut chunks).await.map_err(|error| CodecError::Broken(error.to_string()))
}

/// The logs of a link, in both directions.
struct Logs(Arc<Copies>);

#[async_trait]
impl StreamHandler for Logs {
    fn kind(&self) -> StreamKind {
        LOG
    }

    async fn serve(&self, link: &Arc<Link>, mut stream: Inbound) -> Result<(), Breach> {
        let mut answers = stream.answer.take().expect("a stream of this kind goes both ways");
        self.0.read_logs(link, &mut stream.reader, &mut answers).await
    }
}

#[async_trait]
impl LinkTask for Logs {
    fn lasts(&self) -> bool {
        false
    }

    fn is_waited_for(&self) -> bool {
        true
    }

    async fn run(&self, link: &Arc<Link>) -> Result<(), Breach> {
        if !link.features().has(Features::COPIES) {
            return Ok(());
        }
        let to = boot_of(link);
        loop {
            tokio::select! {
                () = link.retired() => return Ok(()),
                ended = self.0.write_logs(link, &to) => match ended {
                    Err(CodecError::Broken(_)) if link.connection().close_reason().is_some() => return Ok(()),
                    Err(error) if error.offence().is_some() => return Err(error.into()),
                    ended => debug!(peer = %to.name, ?ended, "a stream of logs ended"),
                }
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// The boot at the other end of a link.
fn boot_of(link: &Link) -> Boot {
    let peer = link.peer();
    Boot { name: peer.name.clone(), incarnation: peer.incarnation }
}

/// Pause before another stream is opened in place of one that ended. Guess: a peer without room is not asked all the time.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
