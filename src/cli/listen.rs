//! `pushmesh listen`: a client that prints what it is sent.
//!
//! It behaves as docs/PROTOCOL.md asks of clients: it answers pings, notices a silent server, and
//! after 1012 and 1013 it comes back after the pause that the server chose. With `--json` and with `--keep`, which
//! speak `pushmesh.v1`, it comes back as the same session, by the resume token of the last welcome. With `--keep` it also
//! acknowledges what it has printed, prints what it has missed, and comes back after most other closes. Any other close ends
//! it.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use super::exit::Exit;
use super::output::{self, print_line, tell};
use super::server::Server;
use crate::config::Secret;
use crate::gateway::schema::Envelope;
use crate::id::{MessageId, UserId};
use crate::json;
use crate::token::unverified_user;

mod args;
mod before;
mod socket;

pub(crate) use args::ListenArgs;
use before::{Before, Standing};
use socket::{Event, Refused, Socket};

/// Connects and prints until the count, the end or Ctrl-C.
pub(crate) async fn run(args: ListenArgs) -> anyhow::Result<Exit> {
    check_user(args.user.as_ref(), args.token.as_ref())?;
    // Whoever does not read what this says about the connection must not hold up the messages.
    output::start(|lost| format!("{lost} lines were lost"))?;
    let server = Server::new(&args.server)?;
    let left = args.count.unwrap_or(u64::MAX);
    let (form, keeps) = (Form::of(&args), args.keep.is_some());
    let mut listener = Listener { left, form, keeps, before: Before::default() };
    let mut socket = Socket::connect(&server, &args, &listener.before).await?;
    tell(format!("listening at {}", server.url()));
    loop {
        let pause = match listener.session(&mut socket).await? {
            Next::End(exit) => return Ok(exit),
            Next::Reconnect { pause } => pause,
        };
        tell(format!("reconnecting in {} ms", pause.as_millis()));
        let reconnected = tokio::select! {
            result = reconnect(&server, &args, &mut listener.before, pause) => result?,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        };
        socket = reconnected;
        tell(format!("listening again at {}", server.url()));
    }
}

/// What comes after a connection.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    End(Exit),
    Reconnect { pause: Duration },
}

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The payload.
    Payload,
    /// The payload of an envelope, behind its position.
    Positioned,
    /// The envelope.
    Json,
}

impl Form {
    fn of(args: &ListenArgs) -> Self {
        match (args.json, args.keep) {
            (true, _) => Self::Json,
            (false, Some(_)) => Self::Positioned,
            (false, None) => Self::Payload,
        }
    }
}

/// What lasts from one connection to the next.
struct Listener {
    /// Messages to print before the end.
    left: u64,
    form: Form,
    /// Whether the session is to be kept.
    keeps: bool,
    before: Before,
}

impl Listener {
    /// Prints the messages of one connection.
    async fn session(&mut self, socket: &mut Socket) -> anyhow::Result<Next> {
        loop {
            let event = tokio::select! {
                event = socket.next() => event,
                _ = tokio::signal::ctrl_c() => {
                    socket.close().await;
                    return Ok(Next::End(Exit::Done));
                }
            };
            match event {
                Event::Message(message) => {
                    let (line, ack) = self.take(heard(&message, self.form)?);
                    if let Some(line) = line {
                        print_line(line)?;
                        self.left -= 1;
                    }
                    if let Some(ack) = ack {
                        socket.say(ack).await;
                    }
                    if self.left == 0 {
                        socket.close().await;
                        return Ok(Next::End(Exit::Done));
                    }
                }
                Event::Closed { code, reason } => {
                    tell(format!("closed by the server: {code} {reason}"));
                    return Ok(after_close(code, &reason, self.keeps));
                }
                Event::Lost { problem } => {
                    tell(format!("connection lost: {problem}"));
                    return Ok(Next::Reconnect { pause: RETRY_PAUSE });
                }
            }
        }
    }
}

impl Listener {
    /// What is printed of a frame, and how it is acknowledged.
    fn take(&mut self, heard: Heard) -> (Option<String>, Option<String>) {
        let positions = &mut self.before.positions;
        match heard {
            Heard::Message { line, place: None } => (Some(line), None),
            Heard::Message { line, place: Some(Place { segment, number, id }) } => {
                let standing = positions.message(segment.as_deref(), number, &id);
                let position = match standing {
                    Standing::Next(position) => position,
                    Standing::Known => return (None, positions.ack(segment.as_deref())),
                    Standing::Skipped(position) => {
                        tell(format!("the server has left out what is before {position}, without a word"));
                        position
                    }
                };
                let line = if self.form == Form::Positioned { format!("{position} {line}") } else { line };
                (Some(line), positions.ack(segment.as_deref()))
            }
            Heard::Welcome { resume, segment, number, resumed } => {
                self.before.resume = resume;
                if let (true, Some(segment)) = (self.keeps, segment) {
                    positions.welcome(&segment, number, resumed.as_deref() == Some("none"));
                }
                if let Some(resumed) = resumed {
                    tell(format!("resumed: {resumed}"));
                }
                (None, None)
            }
            Heard::Gap { segment, from, to, why } => {
                tell(format!("{segment}.{from} to {segment}.{to} will not come: {why}"));
                positions.gap(&segment, to);
                (None, positions.ack(Some(&segment)))
            }
            Heard::Closed { segment } => {
                positions.closed(&segment);
                (None, None)
            }
            Heard::Other => (None, None),
        }
    }
}

/// The close codes of docs/PROTOCOL.md, from a client's side, whose session the server keeps or not.
fn after_close(code: u16, reason: &str, keeps: bool) -> Next {
    #[derive(Deserialize)]
    struct Reason {
        retry_ms: u64,
    }
    match code {
        1_000 => Next::End(Exit::Done),
        1_001 | 1_009 | 1_011 | 4_004 if keeps => Next::Reconnect { pause: RETRY_PAUSE },
        1_012 | 1_013 => {
            let chosen = json::object::<Reason>(reason.as_bytes())
                .map(|reason| Duration::from_millis(reason.retry_ms));
            Next::Reconnect { pause: chosen.unwrap_or(RETRY_PAUSE).min(RETRY_PAUSE_MAX) }
        }
        _ => Next::End(Exit::Error),
    }
}

/// Tries again for a while: the node is restarting, or another one takes over its address. A
/// refusal that will not change ends it; a resume token that is refused is left out from then on,
/// because the cluster may have got another key meanwhile.
async fn reconnect(
    server: &Server,
    args: &ListenArgs,
    before: &mut Before,
    pause: Duration,
) -> anyhow::Result<Socket> {
    let deadline = Instant::now() + RECONNECT_FOR;
    let mut pause = pause;
    loop {
        sleep(pause).await;
        match Socket::connect(server, args, before).await {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                let refused = error.downcast_ref::<Refused>();
                let unresumed = before.resume.is_some() && refused.is_some_and(Refused::of_resume);
                if unresumed {
                    *before = Before::default();
                }
                let is_final = !unresumed && refused.is_some_and(|refused| !refused.may_pass());
                if is_final || Instant::now() >= deadline {
                    return Err(error);
                }
            }
        }
        pause = (pause * 2).clamp(RETRY_PAUSE / 4, RETRY_PAUSE_MAX / 12);
    }
}

/// What a frame means.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// A message.
    Message {
        /// How it is printed.
        line: String,
        /// Of a session that is kept.
        place: Option<Place>,
    },
    /// The first envelope of a connection.
    Welcome {
        /// What to come back with; older servers give none.
        resume: Option<String>,
        /// Of a session that is kept: the segment that it numbers.
        segment: Option<String>,
        /// The number before the first one.
        number: u64,
        /// What became of what was missed.
        resumed: Option<String>,
    },
    /// Numbers that will never come.
    Gap { segment: String, from: u64, to: u64, why: String },
    /// A segment has ended.
    Closed { segment: String },
    /// Nothing to do.
    Other,
}

/// Where a message is among those of its session.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    segment: Option<String>,
    number: u64,
    id: MessageId,
}

fn heard(message: &Message, form: Form) -> anyhow::Result<Heard> {
    if form != Form::Payload {
        return match message {
            Message::Text(text) => envelope(text, form),
            _ => Ok(Heard::Other),
        };
    }
    Ok(match message {
        Message::Text(text) => Heard::Message { line: text.as_str().to_owned(), place: None },
        Message::Binary(bytes) => {
            Heard::Message { line: format!("base64:{}", STANDARD.encode(bytes)), place: None }
        }
        _ => Heard::Other,
    })
}

/// What an envelope of `pushmesh.v1` means. The rest than messages is for stderr.
fn envelope(text: &str, form: Form) -> anyhow::Result<Heard> {
    let envelope: Envelope<'_> =
        json::object(text.as_bytes()).context("the server does not speak pushmesh.v1")?;
    Ok(match envelope {
        Envelope::Message { id, n, segment, data, base64, .. } => {
            let line = match (form, data, base64) {
                // One line, whatever white space the server puts in.
                (Form::Json, ..) => {
                    serde_json::from_str::<Box<RawValue>>(text)?.get().replace(['\r', '\n'], " ")
                }
                (_, Some(data), _) => data.into_owned(),
                (_, None, base64) => format!("base64:{}", base64.unwrap_or_default()),
            };
            let segment = segment.map(Cow::into_owned);
            let place = n.map(|number| Place { segment, number, id: id.into_owned() });
            Heard::Message { line, place }
        }
        Envelope::Welcome { user, device, node, resume, segment, n, resumed, .. } => {
            tell(format!("connected as {user}/{device} at node {node}"));
            Heard::Welcome {
                resume: resume.map(Cow::into_owned),
                segment: segment.map(Cow::into_owned),
                number: n.unwrap_or(0),
                resumed: resumed.map(Cow::into_owned),
            }
        }
        Envelope::Gap { segment, from, to, why } => {
            Heard::Gap { segment: segment.into_owned(), from, to, why: why.into_owned() }
        }
        Envelope::Closed { segment, .. } => Heard::Closed { segment: segment.into_owned() },
        Envelope::Resumed { resumed, .. } => {
            tell(format!("resumed: {resumed}"));
            Heard::Other
        }
        Envelope::Error { code, message } => {
            tell(format!("{code}: {message}"));
            Heard::Other
        }
        Envelope::Pong | Envelope::Expiring { .. } | Envelope::Renewed { .. } | Envelope::Other => {
            Heard::Other
        }
    })
}

/// A token speaks for its own user: asking for another one is a mistake that nobody would notice.
fn check_user(user: Option<&UserId>, token: Option<&Secret>) -> anyhow::Result<()> {
    let (Some(user), Some(token)) = (user, token) else { return Ok(()) };
    // Not verified, which is the server's business; a token that is none is refused by it.
    match unverified_user(token.expose()) {
        Some(sub) if sub != user.as_str() => {
            anyhow::bail!("the token is for user {sub}, not {user}: leave out --user or get another token")
        }
        _ => Ok(()),
    }
}

/// Pause before a reconnect where the server names none. Guess.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a server may ask for. Guess.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long a reconnect is tried. Guess: a node restarts well within it.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
