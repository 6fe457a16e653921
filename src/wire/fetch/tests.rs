//! What a server may answer, on loopback.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that reads one request, answers with `answer` whatever it says, and closes.
async fn server(answer: String) -> (SocketAddr, impl Future<Output = String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut piece) = (Vec::new(), [0; 1_024]);
        while !request.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut piece).await.unwrap();
            request.extend_from_slice(&piece[..length]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (addr, async { request.await.unwrap() })
}

async fn fetched(answer: &str) -> Result<String, String> {
    let (addr, request) = server(answer.to_owned()).await;
    let url = format!("http://{addr}/keys?a=b").parse().unwrap();
    let (fetched, request) = tokio::join!(SystemFetcher.fetch(&url, None, 10), request);
    assert!(request.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {addr}\r\n")), "{request}");
    fetched
        .map(|body| String::from_utf8(body.to_vec()).unwrap())
        .map_err(|error| format!("{error} {:?}", error.get_ref().and_then(|error| error.source())))
}

#[tokio::test]
async fn a_document_is_fetched_whole_however_its_end_is_told() {
    assert_eq!(fetched("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.as_deref(), Ok("{}"));
    assert_eq!(fetched("HTTP/1.1 200 OK\r\n\r\n0123456789").await.as_deref(), Ok("0123456789"));
    let pieces = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    assert_eq!(fetched(pieces).await.as_deref(), Ok("{}"));
}

#[tokio::test]
async fn another_answer_is_an_error_and_a_redirect_is_not_followed() {
    for (answer, why) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "status 302"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890", "length limit exceeded"),
        ("HTTP/1.1 200 OK\r\n\r\n01234567890", "length limit exceeded"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", ""),
        ("nonsense\r\n\r\n", ""),
        ("", ""),
    ] {
        let error = fetched(answer).await.unwrap_err();
        assert!(error.contains(why), "{answer}: {error}");
    }
}
