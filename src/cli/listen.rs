//! `pushmesh listen`: a client that prints what it is sent.
//!
//! It behaves as docs/PROTOCOL.md asks of clients: it answers pings, notices a silent server, and
//! after 1012 and 1013 it comes back after the pause that the server chose. With `--json`, which
//! speaks `pushmesh.v1`, it comes back as the same session, by the resume token of the last welcome.
//! Any other close ends it.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use super::exit::Exit;
use super::output::{self, print_line, tell};
use super::server::Server;
use crate::config::Secret;
use crate::gateway::schema::Envelope;
use crate::id::UserId;
use crate::json::{self, Object};

mod args;
mod socket;

pub(crate) use args::ListenArgs;
use socket::{Event, Refused, Socket};

/// Connects and prints until the count, the end or Ctrl-C.
pub(crate) async fn run(args: ListenArgs) -> anyhow::Result<Exit> {
    check_user(args.user.as_ref(), args.token.as_ref())?;
    // Whoever does not read what this says about the connection must not hold up the messages.
    output::start(|lost| format!("{lost} lines were lost"))?;
    let server = Server::new(&args.server)?;
    let mut listener = Listener { left: args.count.unwrap_or(u64::MAX), json: args.json, resume: None };
    let mut socket = Socket::connect(&server, &args, None).await?;
    tell(format!("listening at {}", server.url()));
    loop {
        let pause = match listener.session(&mut socket).await? {
            Next::End(exit) => return Ok(exit),
            Next::Reconnect { pause } => pause,
        };
        tell(format!("reconnecting in {} ms", pause.as_millis()));
        let reconnected = tokio::select! {
            result = reconnect(&server, &args, &mut listener.resume, pause) => result?,
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

/// What lasts from one connection to the next.
struct Listener {
    /// Messages to print before the end.
    left: u64,
    json: bool,
    /// The resume token of the last welcome.
    resume: Option<String>,
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
                    let line = match heard(&message, self.json)? {
                        Heard::Message { line } => line,
                        Heard::Welcome { resume } => {
                            self.resume = resume;
                            continue;
                        }
                        Heard::Other => continue,
                    };
                    print_line(line)?;
                    self.left -= 1;
                    if self.left == 0 {
                        socket.close().await;
                        return Ok(Next::End(Exit::Done));
                    }
                }
                Event::Closed { code, reason } => {
                    tell(format!("closed by the server: {code} {reason}"));
                    return Ok(after_close(code, &reason));
                }
                Event::Lost { problem } => {
                    tell(format!("connection lost: {problem}"));
                    return Ok(Next::Reconnect { pause: RETRY_PAUSE });
                }
            }
        }
    }
}

/// The close codes of docs/PROTOCOL.md, from a client's side.
fn after_close(code: u16, reason: &str) -> Next {
    #[derive(Deserialize)]
    struct Reason {
        retry_ms: u64,
    }
    match code {
        1_000 => Next::End(Exit::Done),
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
    resume: &mut Option<String>,
    pause: Duration,
) -> anyhow::Result<Socket> {
    let deadline = Instant::now() + RECONNECT_FOR;
    let mut pause = pause;
    loop {
        sleep(pause).await;
        match Socket::connect(server, args, resume.as_deref()).await {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                let refused = error.downcast_ref::<Refused>();
                let unresumed = resume.is_some() && refused.is_some_and(Refused::of_resume);
                if unresumed {
                    *resume = None;
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
    },
    /// The first envelope of a connection.
    Welcome {
        /// What to come back with; older servers give none.
        resume: Option<String>,
    },
    /// Nothing to do.
    Other,
}

fn heard(message: &Message, json: bool) -> anyhow::Result<Heard> {
    if json {
        return match message {
            Message::Text(text) => envelope(text),
            _ => Ok(Heard::Other),
        };
    }
    Ok(match message {
        Message::Text(text) => Heard::Message { line: text.as_str().to_owned() },
        Message::Binary(bytes) => Heard::Message { line: format!("base64:{}", STANDARD.encode(bytes)) },
        _ => Heard::Other,
    })
}

/// What an envelope of `pushmesh.v1` means: messages are printed as they are; the rest is for stderr.
fn envelope(text: &str) -> anyhow::Result<Heard> {
    let envelope: Envelope<'_> =
        json::object(text.as_bytes()).context("the server does not speak pushmesh.v1")?;
    match envelope {
        Envelope::Message { .. } => {
            // One line, whatever white space the server puts in.
            let line = serde_json::from_str::<Box<RawValue>>(text)?.get().replace(['\r', '\n'], " ");
            Ok(Heard::Message { line })
        }
        Envelope::Welcome { user, device, node, resume, .. } => {
            tell(format!("connected as {user}/{device} at node {node}"));
            Ok(Heard::Welcome { resume: resume.map(Cow::into_owned) })
        }
        Envelope::Error { code, message } => {
            tell(format!("{code}: {message}"));
            Ok(Heard::Other)
        }
        Envelope::Pong | Envelope::Other => Ok(Heard::Other),
    }
}

/// A token speaks for its own user: asking for another one is a mistake that nobody would notice.
fn check_user(user: Option<&UserId>, token: Option<&Secret>) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Sub {
        sub: String,
    }
    let (Some(user), Some(token)) = (user, token) else { return Ok(()) };
    // Not verified, which is the server's business; a token that is none is refused by it.
    match insecure_decode_claims::<Object<Sub>>(token.expose()) {
        Ok(Object(claims)) if claims.sub != user.as_str() => {
            anyhow::bail!(
                "the token is for user {}, not {user}: leave out --user or get another token",
                claims.sub
            )
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
