//! WebSockets of the load.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::server::Failure;

/// Asks for a WebSocket, and returns when the 101 is here.
///
/// # Errors
/// The server refuses it, or takes too long.
pub(crate) async fn upgrade<S>(
    stream: S,
    request: impl IntoClientRequest + Unpin,
) -> Result<WebSocketStream<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    let shaken = client_async_with_config(request, stream, Some(config));
    let (socket, _) = timeout(UPGRADE_WITHIN, shaken).await.map_err(|_| "no 101 in time")??;
    Ok(socket)
}

/// The library clears the buffer before each read. With its default of 128 KiB that is an eighth of all CPU
/// time of a run, and thousands of them push everything else out of the caches.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Longer than a node is ever busy here.
const UPGRADE_WITHIN: Duration = Duration::from_secs(30);
