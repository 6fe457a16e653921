//! What an idle client costs its node in memory, and what it costs more that its session is kept.
//!
//! Bytes are those that this process has allocated and not freed, counted by its allocator: what the kernel gives the process
//! for them is told by `cargo bench --bench cluster`, and differs by more from run to run than a session that is kept costs. The
//! ends of the clients are in this process as well: bare sockets, the same for all.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ALLOCATOR;
use crate::dial::dial;
use crate::member::Member;
use crate::server::Failure;
use crate::table::{Table, Verdict};

/// Measures clients of `pushmesh.v1` whose sessions are not kept and are, each at a node of its own.
///
/// # Errors
/// A node does not start, or refuses a client.
pub(crate) fn run() -> Result<Vec<Table>, Failure> {
    let mut table = Table::new(format!("Memory of {CLIENTS} idle clients of pushmesh.v1, at their node"));
    // What is allocated once, whoever asks first for it.
    each("")?;
    let plain = each("")?;
    let kept = each("&keep=60")?;
    table.tell("bytes a client", format!("{plain:.1} bytes"));
    table.tell("bytes a client whose session is kept", format!("{kept:.1} bytes"));
    let more = kept - plain;
    let met = Verdict::speed(more <= KEPT_BYTES_MAX);
    table.goal(
        "more than one that is not",
        format!("<= {KEPT_BYTES_MAX} bytes"),
        format!("{more:.1} bytes"),
        met,
    );
    Ok(vec![table])
}

/// Bytes that a client costs which asks so.
fn each(asks: &str) -> Result<f64, Failure> {
    let member = Member::start("owner", &[])?;
    member.ready();
    let addr = member.node.http_addr();
    let before = ALLOCATOR.allocated();
    let clients = member.run(async {
        let mut clients = Vec::with_capacity(CLIENTS);
        for number in 0..CLIENTS {
            clients.push(connect(addr, number, asks).await?);
        }
        Ok::<_, Failure>(clients)
    })?;
    member.rest(AT_REST_AFTER);
    let held = ALLOCATOR.allocated().saturating_sub(before);
    assert_eq!(member.node.sessions(), CLIENTS as u64, "all of them are there");
    drop(clients);
    member.end();
    Ok(held as f64 / CLIENTS as f64)
}

/// Opens the session of a client, and reads what it is told first.
async fn connect(addr: SocketAddr, number: usize, asks: &str) -> Result<TcpStream, Failure> {
    let mut stream = dial(addr).await?;
    let request = format!(
        "GET /v1/ws?user=u{number:06}&device=phone{asks} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: pushmesh.v1\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut told, mut len) = ([0; 2048], 0);
    let welcome = async {
        while !(told[..len].ends_with(b"}") && told[..len].starts_with(b"HTTP/1.1 101")) {
            match stream.read(&mut told[len..]).await? {
                0 => return Err(format!("refused: {}", String::from_utf8_lossy(&told[..len])).into()),
                read => len += read,
            }
        }
        Ok::<_, Failure>(())
    };
    timeout(WELCOME_WITHIN, welcome).await.map_err(|_| "no welcome in time")??;
    Ok(stream)
}

const CLIENTS: usize = 4_000;
/// Source: the design's budget of an idle session that is kept.
const KEPT_BYTES_MAX: f64 = 64.0;
/// What serves a request, and what a client is told first, is freed by then.
const AT_REST_AFTER: Duration = Duration::from_secs(3);
/// Longer than a node is ever busy here.
const WELCOME_WITHIN: Duration = Duration::from_secs(30);
