//! What two nodes say to each other before a link is in use.
//!
//! TLS has already proven the peer's name and cluster. The dialler opens the first stream with a
//! [`Hello`]; the acceptor answers with its own, or with why there is no link: the later incarnation that it
//! knows of the dialler's name, or its settings, if they are not the dialler's. A node that is starting asks its seeds, and whom they know, with a [`Probe`]
//! instead.

use quinn::{Connection, SendStream};
use tokio::time::timeout;

use crate::config::MeshVersion;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::codec::{CodecError, FrameReader, bounded_list, write_frame};
use crate::mesh::frame::{Hello, HelloAnswer, Probe, ProbeAnswer, Settings, v4};
use crate::mesh::stream::{HELLO, Inbound, PROBE, StreamKind};
use crate::mesh::version;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// What arrived is no hello.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The peer says that it is another than its certificate proves.
    #[error("the peer calls itself {claimed}, its certificate says {proven}")]
    Name {
        /// In the hello.
        claimed: NodeName,
        /// In the certificate.
        proven: NodeName,
    },
    /// A later boot of that name is known.
    #[error("the peer knows a later process of this name, incarnation {known}; this process is over")]
    Stale {
        /// The later boot.
        known: Incarnation,
    },
    /// The peer itself is an earlier boot than one that is known.
    #[error("the peer is an earlier process of its name; a later one, incarnation {known}, is known")]
    PeerIsStale {
        /// The later boot.
        known: Incarnation,
    },
    /// The takeover policies differ.
    #[error(
        "this node runs with --takeover {ours}, the peer with --takeover {theirs}, and each would close sessions \
         that the other keeps: start all nodes of the cluster with the same one"
    )]
    OtherTakeover {
        /// Of this node.
        ours: String,
        /// Of the peer.
        theirs: String,
    },
    /// The keys from which hashes follow differ.
    #[error(
        "the peer has another hash key, and neither would find the sessions of the other: give all nodes of the \
         cluster the same --hash-key-file"
    )]
    OtherHashKey,
    /// The peer was cut off too often.
    #[error("the peer broke the protocol {} times within {} s; it is not linked before they are over", limits::OFFENCES_MAX, limits::OFFENCES_WITHIN.as_secs())]
    Barred,
    /// The connection is to a node of this very name.
    #[error("the peer has this node's own name")]
    Myself,
    /// The peer is silent.
    #[error("no hello within {} s", limits::HELLO_TIMEOUT.as_secs())]
    Timeout,
    /// The stream ended early, or is of another kind.
    #[error("the first stream is not a hello")]
    Unexpected,
}

impl HandshakeError {
    /// Whether the peer is a member by its key, and its settings keep it from being linked.
    pub(crate) fn is_disagreement(&self) -> bool {
        matches!(self, Self::OtherTakeover { .. } | Self::OtherHashKey)
    }
}

/// What an accepted connection is for.
pub(crate) enum Opening {
    /// The peer wants a link; it waits for [`welcome`], [`refuse`] or [`disagree`].
    Link(Hello, Asked),
    /// The peer only asked, and has to be answered with [`answer_probe`].
    Probe(Probe, SendStream),
}

/// Where a hello is answered.
pub(crate) struct Asked {
    stream: SendStream,
    /// In which version.
    pub(crate) version: MeshVersion,
}

/// Says hello on a dialled connection to the node `proven`. Returns what it says, and which version the link has.
///
/// # Errors
/// See [`HandshakeError`].
pub(crate) async fn greet(
    connection: &Connection,
    proven: &NodeName,
    hello: &Hello,
) -> Result<(Hello, MeshVersion), HandshakeError> {
    let version = agreed(connection)?;
    let answer = match version {
        MeshVersion::V4 => {
            ask::<_, v4::HelloAnswer>(connection, version, HELLO, &v4::Hello::from(hello.clone()))
                .await?
                .into()
        }
        MeshVersion::V5 => ask(connection, version, HELLO, hello).await?,
    };
    match answer {
        HelloAnswer::Welcome(peer) => {
            let peer = checked(peer, proven)?;
            agree(&hello.settings, &peer.settings)?;
            Ok((peer, version))
        }
        HelloAnswer::StaleIncarnation { known } => Err(HandshakeError::Stale { known }),
        HelloAnswer::Disagreed(theirs) => {
            agree(&hello.settings, &theirs)?;
            Err(HandshakeError::Unexpected)
        }
    }
}

/// TLS refuses whoever has no version in common, so that there is always one.
fn agreed(connection: &Connection) -> Result<MeshVersion, HandshakeError> {
    version::of(connection).ok_or(HandshakeError::Unexpected)
}

/// Whether two nodes may be linked by their settings.
///
/// # Errors
/// [`HandshakeError::OtherHashKey`] and [`HandshakeError::OtherTakeover`].
pub(crate) fn agree(ours: &Settings, theirs: &Settings) -> Result<(), HandshakeError> {
    if ours.keys_check != theirs.keys_check {
        return Err(HandshakeError::OtherHashKey);
    }
    if ours.takeover != theirs.takeover {
        // It comes from a peer and goes into a log.
        let theirs = theirs.takeover.chars().take(TAKEOVER_CHARS_SHOWN).collect::<String>();
        let theirs = theirs.escape_debug().to_string();
        return Err(HandshakeError::OtherTakeover { ours: ours.takeover.clone(), theirs });
    }
    Ok(())
}

/// Asks the node at the other end which incarnation of `name` it knows, and whom else.
///
/// # Errors
/// See [`HandshakeError`].
pub(crate) async fn probe(connection: &Connection, name: &NodeName) -> Result<ProbeAnswer, HandshakeError> {
    ask(connection, agreed(connection)?, PROBE, &Probe { name: name.clone() }).await
}

async fn ask<Q: serde::Serialize, A: serde::de::DeserializeOwned>(
    connection: &Connection,
    version: MeshVersion,
    kind: StreamKind,
    question: &Q,
) -> Result<A, HandshakeError> {
    let exchange = async {
        let (mut send, mut answers) = kind.ask(connection, version).await?;
        write_frame(&mut send, question).await?;
        let _ = send.finish(); // Fails on a stream that is gone, and then so does the read.
        answers.next().await?.map(|(answer, _)| answer).ok_or(HandshakeError::Unexpected)
    };
    timeout(limits::HELLO_TIMEOUT, exchange).await.map_err(|_| HandshakeError::Timeout)?
}

/// Waits for what the dialler of an accepted connection wants.
///
/// # Errors
/// See [`HandshakeError`].
pub(crate) async fn opening(connection: &Connection, proven: &NodeName) -> Result<Opening, HandshakeError> {
    let version = agreed(connection)?;
    let exchange = async {
        let (send, recv) = connection.accept_bi().await.map_err(|e| CodecError::Broken(e.to_string()))?;
        let kinds = |byte| [HELLO, PROBE].into_iter().find(|kind| kind.byte == byte);
        let (kind, Inbound { mut reader, answer }) =
            Inbound::open(recv, Some(send), version, kinds).await.map_err(|error| match error {
                CodecError::Kind(_) => HandshakeError::Unexpected,
                error => error.into(),
            })?;
        let stream = answer.ok_or(HandshakeError::Unexpected)?;
        match kind {
            HELLO => {
                let hello = match version {
                    MeshVersion::V4 => first::<v4::Hello>(&mut reader).await?.into(),
                    MeshVersion::V5 => first(&mut reader).await?,
                };
                Ok(Opening::Link(checked(hello, proven)?, Asked { stream, version }))
            }
            PROBE => {
                let probe: Probe = first(&mut reader).await?;
                if probe.name == *proven {
                    Ok(Opening::Probe(probe, stream))
                } else {
                    Err(HandshakeError::Name { claimed: probe.name, proven: proven.clone() })
                }
            }
            _ => Err(HandshakeError::Unexpected),
        }
    };
    timeout(limits::HELLO_TIMEOUT, exchange).await.map_err(|_| HandshakeError::Timeout)?
}

async fn first<H: serde::de::DeserializeOwned>(reader: &mut FrameReader) -> Result<H, HandshakeError> {
    reader.next().await?.map(|(frame, _)| frame).ok_or(HandshakeError::Unexpected)
}

/// Accepts a link.
///
/// # Errors
/// The connection broke, or the peer does not take the answer in time.
pub(crate) async fn welcome(asked: Asked, hello: Hello) -> Result<(), HandshakeError> {
    let mut stream = answer(asked, HelloAnswer::Welcome(hello)).await?;
    let _ = stream.finish();
    Ok(())
}

/// Refuses a link: the peer's boot is over.
///
/// # Errors
/// Those of [`welcome`].
pub(crate) async fn refuse(asked: Asked, known: Incarnation) -> Result<(), HandshakeError> {
    finish(answer(asked, HelloAnswer::StaleIncarnation { known }).await?).await;
    Ok(())
}

/// Refuses a link: the peer's settings are not `ours`.
///
/// # Errors
/// Those of [`welcome`].
pub(crate) async fn disagree(asked: Asked, ours: Settings) -> Result<(), HandshakeError> {
    finish(answer(asked, HelloAnswer::Disagreed(ours)).await?).await;
    Ok(())
}

async fn answer(asked: Asked, answer: HelloAnswer) -> Result<SendStream, HandshakeError> {
    let Asked { stream, version } = asked;
    match version {
        MeshVersion::V4 => say(stream, &v4::HelloAnswer::from(answer)).await,
        MeshVersion::V5 => say(stream, &answer).await,
    }
}

/// Answers a probe.
///
/// # Errors
/// Those of [`welcome`].
pub(crate) async fn answer_probe(stream: SendStream, answer: &ProbeAnswer) -> Result<(), HandshakeError> {
    finish(say(stream, answer).await?).await;
    Ok(())
}

/// Writes an answer. A peer that does not take it holds nothing up.
async fn say<A: serde::Serialize>(mut stream: SendStream, answer: &A) -> Result<SendStream, HandshakeError> {
    let written = timeout(limits::HELLO_TIMEOUT, write_frame(&mut stream, answer)).await;
    written.map_err(|_| HandshakeError::Timeout)??;
    Ok(stream)
}

/// Waits until the peer has what was written, because the connection is closed next.
async fn finish(mut stream: SendStream) {
    let _ = stream.finish();
    let _ = timeout(limits::HELLO_TIMEOUT, stream.stopped()).await;
}

/// The hello, if the peer calls itself what its certificate says and knows no more members than there may be.
pub(super) fn checked(hello: Hello, proven: &NodeName) -> Result<Hello, HandshakeError> {
    if hello.name != *proven {
        return Err(HandshakeError::Name { claimed: hello.name, proven: proven.clone() });
    }
    bounded_list("members", hello.members.len(), limits::PEERS_MAX)?;
    Ok(hello)
}

/// A policy with the greatest number has fewer.
const TAKEOVER_CHARS_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::frame::{Features, KnownMember};

    #[test]
    fn a_peer_that_calls_itself_other_than_its_certificate_is_refused() {
        let name = |text: &str| NodeName::new(text).unwrap();
        let mesh = "127.0.0.1:7400".parse().unwrap();
        let (members, settings) = (Vec::new(), settings("reject-newer", 1));
        let features = Features::NONE;
        let hello =
            Hello { name: name("n2"), incarnation: Incarnation(1), mesh, members, settings, features };
        assert!(checked(hello.clone(), &name("n2")).is_ok());
        let known = KnownMember { name: name("n3"), incarnation: Incarnation(1), mesh };
        let members = vec![known; limits::PEERS_MAX + 1];
        let long = checked(Hello { members, ..hello.clone() }, &name("n2"));
        assert!(matches!(long, Err(HandshakeError::Codec(CodecError::Oversize { part: "members", .. }))));
        let refused = checked(hello, &name("n3"));
        assert!(matches!(refused, Err(HandshakeError::Name { claimed, proven }) if claimed != proven));
    }

    fn settings(takeover: &str, keys_check: u64) -> Settings {
        Settings { takeover: takeover.to_owned(), keys_check }
    }

    #[test]
    fn nodes_with_other_settings_are_not_linked_and_the_error_says_what_to_do() {
        let ours = settings("reject-newer", 1);
        assert!(agree(&ours, &ours.clone()).is_ok());
        let says = |theirs| agree(&ours, &theirs).unwrap_err().to_string();
        let policy = says(settings("one-per-user", 1));
        assert!(policy.contains("reject-newer") && policy.contains("one-per-user"), "{policy}");
        assert!(policy.contains("with the same one"), "{policy}");
        assert!(says(settings("reject-newer", 2)).contains("--hash-key-file"));
        let hostile = says(settings(&"\n\u{1b}".repeat(1_000), 1));
        assert!(!hostile.contains(['\n', '\u{1b}']) && hostile.len() < 1_000, "{hostile}");
    }
}
