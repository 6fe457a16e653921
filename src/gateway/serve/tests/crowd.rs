//! Who gets a place, and who has to go for it, when there are more callers than places.

use super::*;

#[tokio::test(start_paused = true)]
async fn when_all_places_are_taken_others_get_one_request_each_and_wait_their_turn() {
    let fixture = start_with(None, Shares::new(0, Some(4)));
    let mut kept = fixture.open().await;
    ask(&mut kept, "/now").await;
    answer(&mut kept, "now").await;
    for _ in 0..3 {
        let mut other = fixture.open().await;
        ask(&mut other, "/now").await;
        let text = answer_to_end(&mut other).await;
        assert!(text.ends_with("now") && text.contains("connection: close"), "{text:?}");
    }
    // Who says nothing is in the way for a moment only.
    let started = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(fixture.open().await);
    }
    let mut other = fixture.open().await;
    ask(&mut other, "/now").await;
    assert!(answer_to_end(&mut other).await.ends_with("now"));
    assert!(started.elapsed() < SPARE_HEAD_TIMEOUT, "{:?}", started.elapsed());
    // Who has begun is not.
    let mut begun = fixture.open().await;
    begun.write_all(b"GET /now HTTP/1.1\r\n").await.unwrap();
    let mut other = fixture.open().await;
    ask(&mut other, "/now").await;
    begun.write_all(b"host: x\r\n\r\n").await.unwrap();
    assert!(answer_to_end(&mut begun).await.ends_with("now"));
    assert!(answer_to_end(&mut other).await.ends_with("now"));
    // The one that has a place keeps it.
    ask(&mut kept, "/now").await;
    answer(&mut kept, "now").await;
}

/// What callers do that keep a node waiting.
const SLOW: [&str; 6] = [
    "G",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    "POST /refused HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    "POST /refused HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\ncontent-length: 9\r\n\r\n",
    "GET /much HTTP/1.1\r\nhost: x\r\n\r\nGET /much HTTP/1.1\r\nhost: x\r\n\r\n",
];

#[tokio::test(start_paused = true)]
async fn a_crowd_that_keeps_the_node_waiting_passes_quickly() {
    for begin in SLOW {
        let fixture = start_with(None, Shares::new(0, Some(4)));
        let started = Instant::now();
        let mut crowd = Vec::new();
        for _ in 0..60 {
            let mut caller = fixture.open().await;
            caller.write_all(begin.as_bytes()).await.unwrap();
            crowd.push(caller);
        }
        let mut other = fixture.open().await;
        ask(&mut other, "/now").await;
        assert!(answer_to_end(&mut other).await.ends_with("now"), "{begin}");
        // One after the other through the one spare place.
        assert!(started.elapsed() < Duration::from_secs(3), "{begin}: {:?}", started.elapsed());
        drop(crowd);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_trickles_passes_as_well() {
    let fixture = start_with(None, Shares::new(0, Some(4)));
    let mut kept = fixture.open().await;
    ask(&mut kept, "/now").await;
    answer(&mut kept, "now").await;
    let started = Instant::now();
    for _ in 0..10 {
        let mut caller = fixture.open().await;
        tokio::spawn(async move {
            while caller.write_all(b"G").await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let mut other = fixture.open().await;
    ask(&mut other, "/now").await;
    assert!(answer_to_end(&mut other).await.ends_with("now"));
    assert!(started.elapsed() < 2 * SPARE_HEAD_TIMEOUT, "{:?}", started.elapsed());
}

/// Nobody gets a place for longer than one request.
async fn crowded(tls: Option<Arc<rustls::ServerConfig>>) -> (Fixture, [DuplexStream; 3]) {
    let fixture = start_with(tls, Shares::new(0, Some(4)));
    let kept = [fixture.open().await, fixture.open().await, fixture.open().await];
    (fixture, kept)
}

/// Callers that say nothing and come again whenever they are shown out.
fn silent_crowd(pipes: &mpsc::Sender<DuplexStream>, callers: usize) {
    for _ in 0..callers {
        let pipes = pipes.clone();
        tokio::spawn(async move {
            loop {
                let (server, mut client) = tokio::io::duplex(4_096);
                let Ok(()) = pipes.send(server).await else { return };
                let _ = client.read(&mut [0]).await;
            }
        });
    }
}

/// The same of callers that shake hands, begin a request and do not go on.
fn stalling_crowd(
    pipes: &mpsc::Sender<DuplexStream>,
    connector: &tokio_rustls::TlsConnector,
    callers: usize,
) {
    for _ in 0..callers {
        let (pipes, connector) = (pipes.clone(), connector.clone());
        tokio::spawn(async move {
            loop {
                let (server, client) = tokio::io::duplex(16 << 10);
                let Ok(()) = pipes.send(server).await else { return };
                let Ok(mut client) = connector.connect(localhost(), client).await else { continue };
                let begun = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc";
                if client.write_all(begun).await.is_ok() {
                    let _ = client.read(&mut [0]).await;
                }
            }
        });
    }
}

/// A connection over a network with this round trip. The first bytes come with it.
fn far(pipes: &mpsc::Sender<DuplexStream>, round_trip: Duration) -> DuplexStream {
    let (near, mut end) = tokio::io::duplex(16 << 10);
    let pipes = pipes.clone();
    tokio::spawn(async move {
        let mut first = [0; 4_096];
        let read = end.read(&mut first).await.unwrap();
        sleep(round_trip / 2).await;
        let (server, mut client) = tokio::io::duplex(16 << 10);
        pipes.send(server).await.unwrap();
        client.write_all(&first[..read]).await.unwrap();
        let (up, down) = (tokio::io::split(end), tokio::io::split(client));
        tokio::join!(carry(up.0, down.1, round_trip / 2), carry(down.0, up.1, round_trip / 2))
    });
    near
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let mut bytes = [0; 4_096];
    while let Ok(read) = from.read(&mut bytes).await
        && read > 0
    {
        sleep(delay).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    sleep(delay).await;
    let _ = to.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn callers_from_afar_get_in_over_tls_whether_there_is_a_crowd_or_not() {
    for (silent, stalling, round_trip) in
        [(0, 0, 400), (0, 0, 200), (60, 0, 200), (60, 0, 60), (0, 30, 200), (20, 20, 100)]
    {
        let (server, connector) = tls();
        let (fixture, kept) = crowded(Some(server)).await;
        silent_crowd(&fixture.pipes, silent);
        stalling_crowd(&fixture.pipes, &connector, stalling);
        let calls = (0..8).map(|_| {
            let (connector, pipe) =
                (connector.clone(), far(&fixture.pipes, Duration::from_millis(round_trip)));
            async move {
                let mut client = connector.connect(localhost(), pipe).await?;
                ask(&mut client, "/now").await;
                let mut text = String::new();
                client.read_to_string(&mut text).await?;
                io::Result::Ok(text.ends_with("now"))
            }
        });
        let calls = futures_util::future::join_all(calls).await;
        assert!(
            calls.iter().all(|answered| matches!(answered, Ok(true))),
            "{silent} {stalling} {round_trip}: {calls:?}"
        );
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_in_parts_beside_a_crowd() {
    for silent in [0, 60] {
        let (fixture, kept) = crowded(None).await;
        silent_crowd(&fixture.pipes, silent);
        for _ in 0..4 {
            let mut client = fixture.open().await;
            client.write_all(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
            sleep(Duration::from_millis(300)).await;
            client.write_all(b"cd").await.unwrap();
            assert!(answer_to_end(&mut client).await.ends_with("abcd"), "{silent}");
        }
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_does_not_keep_a_probe_out_in_a_drain() {
    let fixture = start(None);
    let mut busy = fixture.open().await;
    ask(&mut busy, "/later").await;
    tokio::task::yield_now().await;
    fixture.stop.cancel();
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(fixture.open().await);
    }
    let started = Instant::now();
    let mut probe = fixture.open().await;
    ask(&mut probe, "/now").await;
    assert!(answer_to_end(&mut probe).await.ends_with("now"));
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
    fixture.gate.notify_one();
    answer(&mut busy, "later").await;
    fixture.server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_node_in_a_spare_place_keeps_it_and_gets_its_answer() {
    let fixture = start_with(None, Shares::new(0, Some(4)));
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(fixture.open().await);
    }
    let mut patient = fixture.open().await;
    ask(&mut patient, "/later").await;
    let others = [fixture.open().await, fixture.open().await];
    sleep(Duration::from_secs(2)).await;
    fixture.gate.notify_one();
    assert!(answer_to_end(&mut patient).await.ends_with("later"));
    drop(others);
}
