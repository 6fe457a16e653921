//! Whoever does not read what a node says, or cannot keep it, does not hold up the node.

use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::net::unix::pipe;

use crate::harness::{Client, Launch, Node, Process, Streams, alone, eventually, same, unique};

/// A pipe of which nobody reads.
fn broken_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    Stdio::from(writer)
}

/// A pipe that takes nothing any more, and the end where it is read.
async fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let sender = pipe::Sender::from_owned_fd(OwnedFd::from(writer)).expect("it is a pipe");
    sender.writable().await.expect("it is empty");
    while sender.try_write(&[b'-'; 512]).is_ok() {}
    sender.try_write(b"-").expect_err("it is full");
    (reader, Stdio::from(sender.into_blocking_fd().expect("it is a pipe")))
}

fn full_disk() -> Stdio {
    Stdio::from(std::fs::File::options().write(true).open("/dev/full").expect("Linux has a full disk"))
}

fn stderr(stderr: Stdio) -> Streams {
    Streams { stderr: Some(stderr), ..Streams::default() }
}

fn stdout(stdout: Stdio) -> Streams {
    Streams { stdout: Some(stdout), ..Streams::default() }
}

/// Lines that the node could not write.
async fn lost(node: &Node) -> f64 {
    node.metric("pushmesh_log_lines_dropped_total").await.expect("every node has this metric")
}

/// A single node on these streams.
async fn single(streams: Streams, env: &[(&str, &str)]) -> Node {
    let node = Launch::dev(&unique(), "n1").start_on(streams, env).await;
    serves(&node).await;
    node
}

/// Waits until clients may be sent there.
async fn serves(node: &Node) {
    eventually("the node is ready", async || same(node.get("/readyz").await.status, 200)).await;
}

async fn assert_delivers(node: &Node, client: &mut Client, user: &str) {
    assert_eq!(node.push(user, "hello").await.json["delivered"], 1, "at {}", node.name);
    assert_eq!(client.next_text().await, "hello");
}

async fn assert_stops(node: &Node) {
    node.process.signal("TERM");
    assert_eq!(node.process.end().await.code(), Some(0), "a stop in good order");
}

#[tokio::test]
async fn a_node_whose_log_is_lost_sees_a_death_delivers_and_lets_others_join() {
    tokio::join!(live_on_without_a_log(broken_pipe()), live_on_without_a_log(full_disk()));
}

async fn live_on_without_a_log(log: Stdio) {
    let cluster = unique();
    let n1 = Launch::dev(&cluster, "n1").start_on(stderr(log), &[]).await;
    n1.ready().await;
    let n2 = Launch::dev(&cluster, "n2").peers([&n1]).start().await;
    let n3 = Launch::dev(&cluster, "n3").peers([&n1]).start().await;
    n2.ready().await;
    n3.ready().await;
    let mut here = n1.connect("here", None).await;
    let mut there = n2.connect("there", None).await;
    n2.counts(2).await;
    n1.counts(2).await;

    n3.process.kill();
    n1.sees_as("n3", "dead").await; // Told in the log.
    assert!(lost(&n1).await > 0.0);
    assert_delivers(&n1, &mut here, "here").await;
    assert_delivers(&n1, &mut there, "there").await;
    assert_delivers(&n2, &mut here, "here").await;
    let n4 = Launch::dev(&cluster, "n4").peers([&n1]).start().await;
    n4.ready().await;
    n1.sees_as("n4", "alive").await;
    serves(&n1).await;
    assert_stops(&n1).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing_and_flows_again_where_somebody_does() {
    let _alone = alone().await;
    let (mut reader, writer) = full_pipe().await;
    let node = single(stderr(writer), &[("RUST_LOG", "pushmesh=debug")]).await;
    let mut client = node.connect("u", None).await;
    let long = format!("/{}", "x".repeat(8_000)); // It is in the log.
    eventually("more lines than may wait", async || {
        for _ in 0..50 {
            assert_eq!(node.get(&long).await.status, 404);
        }
        if lost(&node).await > 0.0 { Ok(()) } else { Err("all lines have found room") }
    })
    .await;
    assert_delivers(&node, &mut client, "u").await;
    let reading = tokio::task::spawn_blocking(move || {
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("a pipe can be read");
        String::from_utf8_lossy(&read).into_owned()
    });
    eventually("no more lines are lost", async || {
        let before = lost(&node).await;
        assert_delivers(&node, &mut client, "u").await;
        same(lost(&node).await, before)
    })
    .await;
    assert_stops(&node).await;
    let read = reading.await.expect("it reads to the end");
    let (_, after) = read.split_once("lines of this log were lost").expect("the gap is told");
    assert!(after.contains("left node=n1"), "the last lines are there: {:?}", after.lines().last());
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let (_reader, writer) = full_pipe().await;
    let node = single(stderr(writer), &[]).await;
    assert_stops(&node).await;
}

#[tokio::test]
async fn a_node_whose_stdout_is_gone_full_or_stuck_goes_on() {
    for out in [broken_pipe, full_disk] {
        let node = single(stdout(out()), &[]).await;
        eventually("both lines are lost", async || same(lost(&node).await, 2.0)).await;
        assert_stops(&node).await;
    }
    let (mut reader, writer) = full_pipe().await;
    let node = single(stdout(writer), &[]).await;
    let mut client = node.connect("u", None).await;
    assert_delivers(&node, &mut client, "u").await;
    let reading = tokio::task::spawn_blocking(move || {
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("a pipe can be read");
        read
    });
    node.process.says("ready").await;
    assert_stops(&node).await;
    let read = reading.await.expect("it reads to the end");
    let said: Vec<_> = read.trim_start_matches('-').lines().collect();
    assert!(said[0].contains("listening http=") && said[1] == "pushmesh node n1 ready", "{said:?}");
}

#[tokio::test]
async fn a_node_goes_on_without_stdout_or_stderr() {
    let no_stderr = Streams { shell: Some(r#"exec "$0" "$@" 2>&-"#.to_owned()), ..Streams::default() };
    assert_stops(&single(no_stderr, &[]).await).await;
    let no_stdout = Streams { shell: Some(r#"exec "$0" "$@" >&-"#.to_owned()), ..stdout(Stdio::null()) };
    assert_stops(&single(no_stdout, &[]).await).await;
}

#[tokio::test]
async fn a_log_that_may_not_grow_any_more_goes_on_when_it_is_rotated() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let path = log.path().to_str().expect("temporary paths are text");
    // Eight blocks of 512 bytes. A larger file would be ended by a signal.
    let line = format!(r#"ulimit -f 8; exec "$0" "$@" 2>>'{path}'"#);
    let node =
        single(Streams { shell: Some(line), ..Streams::default() }, &[("RUST_LOG", "pushmesh=debug")]).await;
    eventually("the log is full", async || {
        if lost(&node).await > 0.0 { Ok(()) } else { Err(log.as_file().metadata().map(|file| file.len())) }
    })
    .await;
    log.as_file().set_len(0).expect("the file can be emptied");
    eventually("the log goes on", async || {
        node.get("/livez").await;
        let text = std::fs::read_to_string(path).expect("the log is text");
        let told = text.contains("lines of this log were lost") && text.contains("answered");
        if told { Ok(()) } else { Err(text) }
    })
    .await;
    assert_stops(&node).await;
}

#[tokio::test]
async fn a_node_that_hangs_in_its_start_ends_all_the_same_when_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("incarnation")).status();
    assert!(made.expect("mkfifo is installed").success());
    let path = dir.path().to_str().expect("temporary paths are text");
    let args = ["node", "--dev", "--name", "n1", "--listen", "127.0.0.1:0", "--mesh-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--data-dir", path, "--drain-timeout", "1s"]].concat();
    let process = Process::start(&args, &[]);
    eventually("it hears signals", async || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs");
        let names =
            tasks.map(|task| std::fs::read_to_string(task.expect("it is listed").path().join("comm")));
        let names: Vec<_> = names.map(Result::unwrap_or_default).collect();
        if names.iter().any(|name| name == "stop\n") { Ok(()) } else { Err(names) }
    })
    .await;
    process.signal("TERM");
    let finished = process.finish().await;
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("does not stop in time"), "{finished:?}");
}

#[tokio::test]
async fn commands_do_their_work_though_nobody_reads_what_they_say_about_it() {
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    let url = format!("http://{}", node.addr);
    let args = ["listen", "--url", &url, "--user", "u", "--device", "d", "--count", "1"];
    let (listener, _) = Process::start_on(&args, &[], stderr(broken_pipe()));
    node.shows("u", &[("d", "n1")]).await;
    assert_eq!(node.push("u", "hello").await.json["delivered"], 1);
    let heard = listener.finish().await;
    assert_eq!((heard.code, heard.stdout.as_str()), (0, "hello\n"));
    for (code, args) in [
        (3, &["sessions", "--url", &url, "--user", "nobody"][..]),
        (3, &["push", "--url", &url, "--to", "user/nobody", "x"]),
        (1, &["nodes", "--url", "http://127.0.0.1:1"]),
        (2, &["node", "--name", "n1"]),
    ] {
        for lost in [broken_pipe, full_disk] {
            let (command, _) = Process::start_on(args, &[], stderr(lost()));
            assert_eq!(command.finish().await.code, code, "{args:?}");
        }
    }
}
