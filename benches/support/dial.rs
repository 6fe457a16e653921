//! TCP connections of the load.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::server::Failure;

/// Connects to a node without asking for anything. What is small is sent at once.
///
/// # Errors
/// Nobody listens there.
pub(crate) async fn dial(addr: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
