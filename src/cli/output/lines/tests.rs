//! Streams that take little, late, or nothing.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Takes what it is told to take, one answer for each write.
struct Stream {
    answers: Receiver<Answer>,
    written: Arc<Mutex<Vec<u8>>>,
}

enum Answer {
    /// Takes so many bytes.
    Takes(usize),
    Refuses(ErrorKind),
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.answers.recv().unwrap_or(Answer::Refuses(ErrorKind::BrokenPipe)) {
            Answer::Takes(most) => {
                let taken = bytes.len().min(most);
                self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }
            Answer::Refuses(kind) => Err(kind.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines to a stream whose answers the test gives, and what arrived there.
fn lines() -> (Lines, SyncSender<Answer>, impl Fn() -> String) {
    let (answer, answers) = sync_channel(99);
    let written = Arc::new(Mutex::default());
    let stream = Stream { answers, written: Arc::clone(&written) };
    let lines = Lines::start(stream, Some(|lost| format!("lost {lost}"))).unwrap();
    (lines, answer, move || String::from_utf8(written.lock().unwrap().clone()).unwrap())
}

fn answers(to: &SyncSender<Answer>, answers: impl IntoIterator<Item = Answer>) {
    answers.into_iter().for_each(|answer| to.send(answer).unwrap());
}

const ALL: Answer = Answer::Takes(usize::MAX);
const FULL: Answer = Answer::Refuses(ErrorKind::StorageFull);
/// Never reached unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn lines_arrive_in_their_order_also_in_small_bites() {
    let (lines, answer, written) = lines();
    answers(&answer, [Answer::Takes(1), Answer::Refuses(ErrorKind::Interrupted), Answer::Takes(2)]);
    answers(&answer, [Answer::Refuses(ErrorKind::WouldBlock), ALL, ALL, ALL]);
    lines.say(b"one\n");
    lines.say(b"two\n");
    lines.flush(PATIENCE);
    assert_eq!(written(), "one\ntwo\n");
}

#[test]
fn lines_flow_again_behind_a_note_when_a_full_disk_has_room() {
    let (lines, answer, written) = lines();
    let say = |line: &str, then: Vec<Answer>| {
        answers(&answer, then);
        lines.say(line.as_bytes());
        lines.flush(PATIENCE);
    };
    say("a\n", vec![ALL]);
    say("b\n", vec![FULL]);
    say("c\nd\n", vec![FULL]); // The note is refused, and the lines with it.
    say("e\n", vec![ALL, ALL]);
    say("f\n", vec![ALL]);
    assert_eq!(written(), "a\nlost 3\ne\nf\n");
}

#[test]
fn a_line_that_was_torn_is_ended_and_counts_as_lost() {
    let (lines, answer, written) = lines();
    answers(&answer, [Answer::Takes(7), FULL]);
    lines.say(b"one\nnever whole\n");
    lines.flush(PATIENCE);
    answers(&answer, [Answer::Takes(3), FULL]); // The note is torn as well.
    lines.say(b"two\n");
    lines.flush(PATIENCE);
    answers(&answer, [ALL, ALL]);
    lines.say(b"three\n");
    lines.flush(PATIENCE);
    assert_eq!(written(), "one\nnev\nlo\nlost 2\nthree\n");
}

#[test]
fn a_stream_that_nobody_reads_holds_up_nobody_and_gets_the_note_where_lines_are_missing() {
    let (lines, answer, written) = lines();
    let big = [vec![b'x'; limits::LOG_BYTES_MAX - 1], vec![b'\n']].concat();
    lines.say(b"first\n");
    while !lines.0.lock().writing {
        thread::yield_now(); // Until the thread has taken the line, and hangs with it.
    }
    lines.say(&big);
    for _ in 0..3 {
        lines.say(b"no room\n");
    }
    let hurry = Duration::from_millis(1);
    lines.flush(hurry); // It comes back.
    answers(&answer, [ALL, ALL, ALL]);
    lines.flush(PATIENCE);
    answers(&answer, [ALL]);
    lines.say(b"last\n");
    lines.flush(PATIENCE);
    let expected = format!("first\n{}lost 3\nlast\n", String::from_utf8(big).unwrap());
    assert!(written() == expected, "{} bytes, which end with {:?}", written().len(), tail(&written()));
}

#[test]
fn every_line_that_is_lost_is_counted() {
    let (lines, answer, _written) = lines();
    let before = LOG_LINES_DROPPED.load(Ordering::Relaxed);
    drop(answer); // Nobody reads it ever again.
    for _ in 0..5 {
        lines.say(b"a\nb\n");
        lines.flush(PATIENCE);
    }
    // Tests that run beside this one lose some too.
    assert!(LOG_LINES_DROPPED.load(Ordering::Relaxed) >= before + 10);
}

fn tail(text: &str) -> &str {
    &text[text.len().saturating_sub(40)..]
}
