//! Where the log goes and what it looks like.
//!
//! Lines go to stderr by way of [`output`], so that no log stops a node. A panic is an error in the log:
//! the standard library would print it by itself, and wait for whoever does not read it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::{self, PanicHookInfo};
use std::thread;

use anyhow::Context;
use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::output::{self, LogLine, Note};
use crate::vital::said;

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The line that stands where lines were lost; of how many.
    fn note(self) -> Note {
        match self {
            LogFormat::Text => |lost| format!("{}  WARN {LOST} lines={lost}", now()),
            LogFormat::Json => |lost| {
                let fields = serde_json::json!({ "message": LOST, "lines": lost });
                serde_json::json!({ "timestamp": now(), "level": "WARN", "fields": fields }).to_string()
            },
        }
    }
}

/// Starts logging to stderr. `RUST_LOG` replaces `filter`, which is in its syntax.
///
/// # Errors
/// The system gives no thread for it.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    output::start(format.note()).context("the log cannot be started")?;
    panic::set_hook(Box::new(log_panic));
    let log = tracing_subscriber::fmt()
        .with_env_filter(chosen(filter, std::env::var("RUST_LOG").ok().as_deref()))
        .with_writer(|| LogLine)
        .log_internal_errors(false) // It would print to stderr by itself, and panic if that fails.
        .with_target(false);
    // A program that embeds this command may log already; then it goes on as it is.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    Ok(())
}

/// What the environment asks for, if it is understood.
fn chosen(filter: &str, env: Option<&str>) -> EnvFilter {
    let asked = env.filter(|text| !text.is_empty()).map(EnvFilter::try_new);
    asked
        .and_then(|asked| {
            asked
                .map_err(|error| {
                    output::tell(format!("pushmesh: RUST_LOG is not understood ({error}); logging {filter}"));
                })
                .ok()
        })
        .unwrap_or_else(|| EnvFilter::new(filter))
}

/// Logs a panic. What it means is decided by whoever watches the task.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let problem = said(info.payload());
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => error!(thread = name, at, %backtrace, "panic: {problem}"),
        _ => error!(thread = name, at, "panic: {problem}"),
    }
    if name == "main" {
        output::flush(); // It is the last that this process says.
    }
}

fn now() -> String {
    let mut text = String::new();
    // Fails only where a text cannot be written to memory.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

const LOST: &str = "lines of this log were lost: nobody read them, or there was no room for them";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_filter_of_the_environment_counts_if_it_is_there_and_understood() {
        let shown = |env| chosen("pushmesh=info,warn", env).to_string();
        assert_eq!(shown(None), "pushmesh=info,warn");
        assert_eq!(shown(Some("")), "pushmesh=info,warn", "an empty variable is none");
        assert_eq!(shown(Some("debug")), "debug");
        assert_eq!(shown(Some("pushmesh=loud")), "pushmesh=info,warn");
    }

    /// Where a log goes that a test looks at.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_an_error_in_the_log() {
        let written = Written::default();
        let to = written.clone();
        let log = tracing_subscriber::fmt().with_writer(move || to.clone()).with_ansi(false).finish();
        panic::set_hook(Box::new(log_panic));
        let panicked =
            tracing::subscriber::with_default(log, || panic::catch_unwind(|| panic!("on {}", "purpose")));
        let _ = panic::take_hook(); // The others are to be heard again.
        assert!(panicked.is_err());
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(line.contains("ERROR") && line.contains("panic: on purpose"), "{line}");
        assert!(line.contains("src/cli/log.rs:"), "it says where: {line}");
    }

    #[test]
    fn the_note_about_lost_lines_is_a_line_of_the_format() {
        let text = LogFormat::Text.note()(7);
        assert!(text.contains(" WARN ") && text.ends_with(" lines=7"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&LogFormat::Json.note()(7)).unwrap();
        assert_eq!((json["level"].as_str(), json["fields"]["lines"].as_u64()), (Some("WARN"), Some(7)));
        assert!(json["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{json}");
    }
}
