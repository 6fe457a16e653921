//! `pushmesh push --lines`: many messages over one request, answered while they are sent.
//!
//! The file goes to `POST /v1/push` as it is; nothing is parsed or held here but one answer line.
//! The answers come in the order of the lines.

use std::collections::BTreeMap;
use std::future::ready;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::AsyncRead;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::{ReaderStream, StreamReader};

use super::report::by_word;
use crate::cli::client::ApiClient;
use crate::cli::exit::Exit;
use crate::cli::output::{print_line, tell};
use crate::cli::progress::Progress;
use crate::cli::server::Body;
use crate::cli::table::thousands;
use crate::gateway::schema::{AnyLine, Word};
use crate::id::MessageId;
use crate::json;

/// Streams the file, prints failures (with `json`: every answer) and a summary.
pub(super) async fn run(api: &ApiClient, path: &Path, json: bool) -> anyhow::Result<Exit> {
    let response = api.stream("/v1/push", "application/x-ndjson", open(path).await?).await?;
    let mut answers = pin!(answers(response.into_body().map_err(io::Error::other).boxed_unsync()));
    let mut progress = Progress::new("messages", json);
    let mut tally = Tally::default();
    while let Some(line) = answers.try_next().await? {
        let answer: AnyLine =
            json::object(line.as_bytes()).context("an answer line is not what was expected")?;
        if json {
            print_line(&line)?;
        } else if let Some(problem) = tally.problem(&answer) {
            progress.clear();
            tell(problem);
        }
        tally.add(&answer);
        progress.at(tally.lines);
    }
    let elapsed = progress.elapsed();
    progress.clear();
    let summary = tally.summary(elapsed);
    if json {
        tell(summary)
    } else {
        print_line(summary)?
    }
    Ok(tally.exit())
}

async fn open(path: &Path) -> anyhow::Result<Body> {
    if path == Path::new("-") {
        return Ok(body(tokio::io::stdin()));
    }
    let file = tokio::fs::File::open(path).await;
    Ok(body(file.with_context(|| format!("--lines: cannot open {}", path.display()))?))
}

fn body(reader: impl AsyncRead + Send + 'static) -> Body {
    StreamBody::new(pieces(reader).map_ok(Frame::data)).boxed_unsync()
}

/// What is read, and a space now and then while nothing comes between two lines: a node ends a stream that says
/// nothing. A space begins a line and changes neither its meaning nor its number.
fn pieces(reader: impl AsyncRead + Send + 'static) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let reader = Box::pin(ReaderStream::with_capacity(reader, CHUNK_BYTES));
    unfold((reader, true), |(mut reader, between_lines)| async move {
        let piece =
            if between_lines { timeout(SPACE_AFTER, reader.next()).await } else { Ok(reader.next().await) };
        match piece {
            Err(_) => Some((Ok(Bytes::from_static(b" ")), (reader, true))),
            Ok(None) => None,
            Ok(Some(piece)) => {
                let between_lines = piece.as_ref().is_ok_and(|piece| piece.ends_with(b"\n"));
                Some((piece, (reader, between_lines)))
            }
        }
    })
}

/// The answers of a body as they arrive, a line each.
fn answers(body: Body) -> impl Stream<Item = anyhow::Result<String>> {
    let reader = StreamReader::new(body.into_data_stream());
    let lines = FramedRead::new(reader, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    let lines = lines.map_err(|error| match error {
        LinesCodecError::MaxLineLengthExceeded => {
            anyhow!("an answer line is longer than {LINE_BYTES_MAX} bytes")
        }
        LinesCodecError::Io(error) => anyhow!(error).context(BROKEN_OFF),
    });
    lines.try_filter(|line| ready(!line.trim().is_empty()))
}

/// The number of the line that is answered, and the id that it travels with.
fn named(answer: &AnyLine) -> (u64, Option<&MessageId>) {
    match answer {
        AnyLine::Refused(refused) => (refused.line, None),
        AnyLine::Broadcast(answer) => (answer.line, Some(&answer.answer.id)),
        AnyLine::Pushed(answer) => (answer.line, Some(&answer.answer.id)),
    }
}

/// The word that decides: the error's code, the outcome, or whether anybody got it.
fn word(answer: &AnyLine) -> String {
    match answer {
        AnyLine::Refused(refused) => refused.error.code.to_string(),
        AnyLine::Broadcast(answer) => match answer.answer.total {
            total if total.delivered > 0 => "delivered".to_owned(),
            total if total.id_reused > 0 => "id_reused".to_owned(),
            _ => "no_session".to_owned(),
        },
        AnyLine::Pushed(answer) => answer.outcome.as_ref().map(Word::to_string).unwrap_or_default(),
    }
}

/// What became of all lines.
#[derive(Debug, Default)]
pub(super) struct Tally {
    lines: u64,
    /// By word.
    counts: BTreeMap<String, u64>,
}

impl Tally {
    /// A sentence about a line that was not delivered, for the first few of them.
    pub(super) fn problem(&self, answer: &AnyLine) -> Option<String> {
        let failed = self.lines - self.counts.get("delivered").copied().unwrap_or(0);
        let word = word(answer);
        let (line, id) = named(answer);
        if by_word(&word) == Exit::Done || failed >= PROBLEMS_SHOWN {
            return None;
        }
        let id = id.map(|id| format!(" (id {id})")).unwrap_or_default();
        let message = match answer {
            AnyLine::Refused(refused) => format!(": {}", refused.error.message),
            AnyLine::Broadcast(_) | AnyLine::Pushed(_) => String::new(),
        };
        Some(format!("line {line}{id}: {word}{message}"))
    }

    /// Counts one answer.
    pub(super) fn add(&mut self, answer: &AnyLine) {
        self.lines += 1;
        *self.counts.entry(word(answer)).or_default() += 1;
    }

    /// One line for people.
    pub(super) fn summary(&self, elapsed: Duration) -> String {
        let counts: Vec<_> =
            self.counts.iter().map(|(word, count)| format!("{} {word}", thousands(*count))).collect();
        let rate = self.lines as f64 / elapsed.as_secs_f64().max(0.001);
        format!(
            "{} messages in {:.1} s ({}/s): {}",
            thousands(self.lines),
            elapsed.as_secs_f64(),
            thousands(rate.round() as u64),
            if counts.is_empty() { "nothing to push".to_owned() } else { counts.join(", ") }
        )
    }

    /// The worst that happened: an error, then not delivered, then no session.
    pub(super) fn exit(&self) -> Exit {
        let any = |exit: Exit| self.counts.keys().any(|word| by_word(word) == exit);
        [Exit::Error, Exit::NotDelivered, Exit::NoSession]
            .into_iter()
            .find(|exit| any(*exit))
            .unwrap_or(Exit::Done)
    }
}

/// What the caller has to know when the connection breaks.
const BROKEN_OFF: &str =
    "the answers broke off; messages after the last answer may or may not have been pushed";

/// Bytes of one read of the file. Guess.
const CHUNK_BYTES: usize = 64 << 10;

/// How long nothing may come before a space is sent. Source: half of what a node waits for.
const SPACE_AFTER: Duration = Duration::from_secs(5);

/// Bytes of one answer line. Guess: the sessions of one user, many times over.
const LINE_BYTES_MAX: usize = 4 << 20;

/// How many failed lines are shown one by one. Guess: the rest is in the summary, and in `--json`.
const PROBLEMS_SHOWN: u64 = 10;

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn spaces_are_sent_while_nothing_comes_between_two_lines_and_never_within_one() {
        let (mut near, far) = duplex(64);
        let pieces = tokio::spawn(pieces(far).map_ok(|piece| piece.to_vec()).try_concat());
        for text in ["", "a\n", "b", "c", "\n", "d"] {
            near.write_all(text.as_bytes()).await.unwrap();
            sleep(SPACE_AFTER + SPACE_AFTER / 2).await;
        }
        drop(near);
        assert_eq!(pieces.await.unwrap().unwrap(), b" a\n bc\n d");
    }

    fn answered(pieces: Vec<io::Result<Bytes>>) -> impl Stream<Item = anyhow::Result<String>> {
        answers(StreamBody::new(stream::iter(pieces).map_ok(Frame::data)).boxed_unsync())
    }

    #[tokio::test]
    async fn an_answer_is_a_line_however_it_is_cut_and_empty_lines_are_none() {
        let pieces = ["{\"a\"", ":1}\n\n \r\n{}", "\n[", "]"].map(|piece| Ok(Bytes::from(piece)));
        let lines: Vec<_> = answered(pieces.into()).try_collect().await.unwrap();
        assert_eq!(lines, ["{\"a\":1}", "{}", "[]"]);
    }

    #[tokio::test]
    async fn answers_that_break_off_or_never_end_are_told_apart() {
        let first = || Ok(Bytes::from_static(b"{}\n"));
        let cases = [
            (Err(io::Error::other("reset")), "the answers broke off", "reset"),
            (Ok(Bytes::from(vec![b'a'; LINE_BYTES_MAX + 1])), "an answer line is longer", "4194304"),
        ];
        for (second, start, part) in cases {
            let mut lines = pin!(answered(vec![first(), second]));
            assert_eq!(lines.next().await.unwrap().unwrap(), "{}");
            let error = format!("{:#}", lines.next().await.unwrap().unwrap_err());
            assert!(error.starts_with(start) && error.contains(part), "{error}");
        }
    }
}
