//! Messages that are written by whoever brings them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_message_to_a_client_at_rest_is_written_without_its_task() {
    let mut fixture =
        connect(Options { dialect: dialect::named(Some("pushmesh.v1")), ..Options::default() }).await;
    assert_eq!(fixture.receive_json().await["type"], "welcome");
    tokio::task::yield_now().await; // Its task goes back to its rest.
    assert_eq!(fixture.push("m1", Payload::text("hi")).now_or_never(), Some(Ok(Outcome::Delivered)));
    assert_eq!(fixture.receive_json().await["data"], "hi");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_else_may_write_the_task_does() {
    let mut fixture = connect(Options { direct: false, ..Options::default() }).await;
    tokio::task::yield_now().await;
    let pushed = fixture.push("m1", Payload::text("hi"));
    assert_eq!(fixture.receive().await, Frame::text("hi"));
    assert_eq!(pushed.await, Ok(Outcome::Delivered));
}

/// Pushes a message of which the socket takes a part, at a moment when the task rests.
async fn begun(fixture: &Fixture) -> oneshot::Receiver<Outcome> {
    tokio::task::yield_now().await;
    let begun = fixture.push("m1", text(5_000));
    assert!(fixture.session.has_begun(), "it does not wait for the task");
    begun
}

#[tokio::test(start_paused = true)]
async fn pongs_and_pushes_do_not_end_up_in_what_another_has_begun() {
    let mut fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let begun = begun(&fixture).await;
    let behind = fixture.push("m2", text(10));
    fixture.send(Frame::Ping("p".into())).await;
    assert_eq!(fixture.receive().await.len(), 5_000);
    let mut others = [fixture.receive().await, fixture.receive().await];
    others.sort_by_key(Frame::len);
    assert_eq!(others, [Frame::Pong("p".into()), Frame::text("x".repeat(10))]);
    assert_eq!((begun.await, behind.await), (Ok(Outcome::Delivered), Ok(Outcome::Delivered)));
}

#[tokio::test(start_paused = true)]
async fn a_close_comes_after_what_another_has_begun() {
    // Whether the task looks first at the message or at what ends the session is drawn anew each time.
    for _ in 0..32 {
        let mut fixture = connect(Options { pipe_bytes: 2_000, ..Options::default() }).await;
        let begun = begun(&fixture).await;
        fixture.send(Frame::text("y".repeat(MESSAGE_BYTES_MAX + 1))).await;
        assert_eq!(fixture.receive().await.len(), 5_000);
        assert_eq!(fixture.receive_close().await.0, 1009);
        assert_eq!(begun.await, Ok(Outcome::Delivered));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_what_was_begun_is_not_waited_for_for_ever() {
    let fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let begun = begun(&fixture).await;
    let started = Instant::now();
    fixture.session.close(CloseReason::SlowConsumer);
    assert_eq!(begun.await, Ok(Outcome::Interrupted));
    fixture.task.await.unwrap();
    assert!(started.elapsed() <= 3 * limits::CLOSE_TIMEOUT, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_written_to_directly_is_not_idle() {
    let mut fixture = connect(Options { idle: Some(Duration::from_secs(100)), ..Options::default() }).await;
    for _ in 0..5 {
        let quiet =
            timeout(Duration::from_secs(60), async { while let Frame::Ping(_) = fixture.receive().await {} });
        assert!(quiet.await.is_err(), "it is not closed");
        assert_eq!(fixture.push("m1", text(1)).now_or_never(), Some(Ok(Outcome::Delivered)));
        assert_eq!(fixture.receive().await.len(), 1);
    }
    let started = Instant::now();
    assert_eq!(fixture.receive_close().await, (1000, "idle timeout".to_owned()));
    assert_eq!(started.elapsed().as_secs(), 100);
}

/// How many messages count as written, and by whom.
fn written(fixture: &Fixture, how: &str) -> u64 {
    let text = fixture.metrics.render();
    let sample = format!("pushmesh_messages_written_total{{how=\"{how}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_counts_as_written_once_it_is() {
    let mut fixture = connect(Options { pipe_bytes: 1_000, direct: false, ..Options::default() }).await;
    let stuck = fixture.push("m1", text(5_000));
    assert_eq!(stuck.await, Ok(Outcome::Buffered));
    assert_eq!(written(&fixture, "task"), 0, "it is being written");
    assert_eq!(fixture.receive().await.len(), 5_000);
    fixture.push("m2", text(1)).await.unwrap();
    assert_eq!(written(&fixture, "task"), 2);

    let mut fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let begun = begun(&fixture).await;
    assert_eq!(written(&fixture, "begun"), 0);
    assert_eq!(fixture.receive().await.len(), 5_000);
    assert_eq!(begun.await, Ok(Outcome::Delivered));
    assert_eq!((written(&fixture, "begun"), written(&fixture, "task")), (1, 0));

    let fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let lost = self::begun(&fixture).await;
    fixture.session.close(CloseReason::SlowConsumer);
    assert_eq!(lost.await, Ok(Outcome::Interrupted));
    assert_eq!(written(&fixture, "begun"), 0, "nobody knows that it was");
}
