//! A `pushmesh` process that does not outlive its test.
//!
//! Its stderr goes to a file, whose end is printed when a test fails.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use tempfile::NamedTempFile;

use super::wait::eventually;

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    title: String,
    child: Mutex<Child>,
    stderr: NamedTempFile,
    /// Where its stdout goes, unless somebody took it.
    stdout: NamedTempFile,
}

/// What a process is connected with.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Its stdout; otherwise a file.
    pub(crate) stdout: Option<Stdio>,
    /// Its stderr; otherwise a file.
    pub(crate) stderr: Option<Stdio>,
    /// A line of the shell that starts it, as `exec "$0" "$@"`.
    pub(crate) shell: Option<String>,
    /// Another program than the one that is tested.
    pub(crate) program: Option<PathBuf>,
}

/// A process that ended by itself.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command of the binary to its end.
pub(crate) async fn pushmesh<S: AsRef<OsStr>>(args: &[S]) -> Finished {
    Process::start(args, &[]).finish().await
}

impl Process {
    /// Starts the binary with nothing of this process' environment but the choice of logs.
    pub(crate) fn start<S: AsRef<OsStr>>(args: &[S], env: &[(&str, &str)]) -> Self {
        Self::spawn(args, env, None, Streams::default()).0
    }

    /// The same with a file as its stdin.
    pub(crate) fn start_with_input<S: AsRef<OsStr>>(args: &[S], input: &str) -> Self {
        Self::spawn(args, &[], Some(input), Streams::default()).0
    }

    /// The same with these streams. Gives its stdout if that is a pipe to the test.
    pub(crate) fn start_on<S: AsRef<OsStr>>(
        args: &[S],
        env: &[(&str, &str)],
        streams: Streams,
    ) -> (Self, Option<ChildStdout>) {
        Self::spawn(args, env, None, streams)
    }

    fn spawn<S: AsRef<OsStr>>(
        args: &[S],
        env: &[(&str, &str)],
        input: Option<&str>,
        streams: Streams,
    ) -> (Self, Option<ChildStdout>) {
        let title = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
        let file = || NamedTempFile::new().expect("a temporary file can be made");
        let (stdout, stderr) = (file(), file());
        let sink = |file: &NamedTempFile| Stdio::from(file.reopen().expect("the file was just made"));
        let binary = streams.program.unwrap_or_else(|| env!("CARGO_BIN_EXE_pushmesh").into());
        let mut command = match &streams.shell {
            None => Command::new(binary),
            Some(setup) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", setup]).arg(binary);
                shell
            }
        };
        command
            .args(args)
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .stdin(input.map_or_else(Stdio::null, |text| Stdio::from(input_file(text))))
            .stdout(streams.stdout.unwrap_or_else(|| sink(&stdout)))
            .stderr(streams.stderr.unwrap_or_else(|| sink(&stderr)));
        if let Some(filter) = std::env::var_os("RUST_LOG") {
            command.env("RUST_LOG", filter);
        }
        command.envs(env.iter().copied());
        let mut child = command.spawn().expect("the binary can be started");
        let pipe = child.stdout.take();
        (Self { title, child: Mutex::new(child), stderr, stdout }, pipe)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().expect(NOT_POISONED).id()
    }

    /// Sends a signal by its name, such as `TERM`. The process must not have been waited for.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.expect("kill is installed").success(), "SIG{name} can be sent to {}", self.title);
        // On a busy machine a thread that waits for its turn is stopped only when it has it.
        while name == "STOP" && self.has_running_threads() {
            std::thread::yield_now();
        }
    }

    /// Whether a thread of it is not stopped, where the system tells.
    fn has_running_threads(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid())) else { return false };
        let stats =
            threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        // The state follows the name, which is in parentheses.
        stats
            .into_iter()
            .any(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 'Z'])))
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().expect(NOT_POISONED).try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub(crate) async fn end(&self) -> ExitStatus {
        eventually(&format!("end of {}", self.title), async || self.ended().ok_or("still running")).await
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().expect(NOT_POISONED);
        child.kill().and_then(|()| child.wait()).expect("a child can be killed");
    }

    /// What it said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until it has said so on stderr.
    pub(crate) async fn says(&self, text: &str) {
        eventually(&format!("{text:?} on stderr of {}", self.title), async || {
            let said = self.stderr();
            if said.contains(text) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// What it said on stdout so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Waits for its end and collects what it said.
    pub(crate) async fn finish(self) -> Finished {
        let status = self.end().await;
        let code = status.code().expect("the process ended by itself");
        Finished { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.stderr();
            let lines: Vec<_> = said.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            // Whoever killed it from outside left nothing else behind.
            let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            let state = match child.try_wait() {
                Ok(Some(status)) => format!("it had ended: {status}"),
                _ => "it was still running".to_owned(),
            };
            eprintln!("--- stderr of pushmesh {} ({state})\n{}", self.title, tail.join("\n"));
        }
        // A poisoned lock still holds the child, and an orphan would be worse than its state.
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn read(file: &NamedTempFile) -> String {
    String::from_utf8_lossy(&fs::read(file.path()).expect("the file lives as long as the process"))
        .into_owned()
}

fn input_file(text: &str) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("a temporary file can be written");
    file.seek(SeekFrom::Start(0)).expect("a file can be rewound");
    file
}

const NOT_POISONED: &str = "no panic happens under this lock";
/// Lines of stderr that a failing test prints.
const TAIL_LINES: usize = 60;
