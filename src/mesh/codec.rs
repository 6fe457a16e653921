//! Bytes to frames and back: the only place that encodes or decodes what crosses the mesh.
//!
//! ```text
//!   stream  = kind (u8)  version (u8)  frame*
//!   frame   = header length (u32, big endian)  payload length (u32)  header (bincode)  payload
//! ```
//!
//! Headers are bincode (standard configuration: little endian, variable-length integers). Payloads
//! stand beside them, so that they are never re-encoded; a received payload is a slice of the
//! buffer it arrived in. Lengths are checked before anything is allocated.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{Buf, Bytes, BytesMut};
use quinn::{RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::MeshVersion;
use crate::limits;
use crate::metrics::label::Offence;

/// Why bytes from a peer are not a frame. The link is of no use after it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// A length exceeds its bound.
    #[error("a frame announces {part} of {len}, at most {max} are allowed")]
    Oversize {
        /// Bytes of the header or payload, or the list that is too long.
        part: &'static str,
        /// As announced.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// The header is not what it should be.
    #[error("a frame header does not decode: {0}")]
    Header(String),
    /// A stream opens with a kind that is not known.
    #[error("a stream opens with kind {0}, which is not known")]
    Kind(u8),
    /// A stream opens with another version than the link's.
    #[error("a stream opens with version {found}, the link speaks version {agreed}")]
    Version {
        /// The second byte of the stream.
        found: u8,
        /// On which both ends have agreed.
        agreed: MeshVersion,
    },
    /// The stream ended inside a frame.
    #[error("a stream ended inside a frame")]
    Truncated,
    /// The stream or the connection broke.
    #[error("the stream broke: {0}")]
    Broken(String),
}

impl CodecError {
    /// What metrics call it; `None` for a stream that broke.
    pub(crate) fn offence(&self) -> Option<Offence> {
        match self {
            CodecError::Oversize { .. } => Some(Offence::Oversize),
            CodecError::Header(_) | CodecError::Truncated => Some(Offence::Codec),
            CodecError::Kind(_) | CodecError::Version { .. } => Some(Offence::Version),
            CodecError::Broken(_) => None,
        }
    }
}

/// The prefix and header of a frame whose payload has `payload_len` bytes.
///
/// # Panics
/// When the header exceeds its bound: whoever builds headers bounds them.
pub(crate) fn encode<H: Serialize>(header: &H, payload_len: usize) -> Bytes {
    let mut short = [0; SHORT_BYTES_MAX];
    let mut long = Vec::new();
    let bytes = match bincode::serde::encode_into_slice(header, &mut short[PREFIX_BYTES..], CONFIG) {
        Ok(len) => &mut short[..PREFIX_BYTES + len],
        // It does not fit.
        Err(_) => {
            long.resize(PREFIX_BYTES, 0);
            bincode::serde::encode_into_std_write(header, &mut long, CONFIG)
                .expect("a header of ours always encodes");
            &mut long[..]
        }
    };
    let header_len = bytes.len() - PREFIX_BYTES;
    assert!(header_len <= limits::FRAME_HEADER_BYTES_MAX, "a header of {header_len} bytes is not bounded");
    assert!(
        payload_len <= limits::FRAME_PAYLOAD_BYTES_MAX,
        "a payload of {payload_len} bytes is not bounded"
    );
    let (header_len, payload_len) = (header_len as u32, payload_len as u32);
    bytes[..4].copy_from_slice(&header_len.to_be_bytes());
    bytes[4..PREFIX_BYTES].copy_from_slice(&payload_len.to_be_bytes());
    Bytes::copy_from_slice(bytes)
}

fn decode<H: DeserializeOwned>(bytes: &[u8]) -> Result<H, CodecError> {
    let (header, read) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| CodecError::Header(error.to_string()))?;
    if read == bytes.len() { Ok(header) } else { Err(CodecError::Header("it has trailing bytes".into())) }
}

/// Cuts frames out of chunks of a stream.
pub(crate) struct Decoder {
    buffer: BytesMut,
    payload_bytes_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_payloads(limits::FRAME_PAYLOAD_BYTES_MAX)
    }
}

impl Decoder {
    /// Of frames whose payloads have at most so many bytes.
    fn with_payloads(payload_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), payload_bytes_max }
    }

    /// Adds what arrived.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next frame, if it is complete.
    ///
    /// # Errors
    /// [`CodecError::Oversize`] and [`CodecError::Header`].
    pub(crate) fn next<H: DeserializeOwned>(&mut self) -> Result<Option<(H, Bytes)>, CodecError> {
        if self.buffer.len() < PREFIX_BYTES {
            return Ok(None);
        }
        let mut prefix = &self.buffer[..PREFIX_BYTES];
        let header_len = bounded("header", prefix.get_u32(), limits::FRAME_HEADER_BYTES_MAX)?;
        let payload_len = bounded("payload", prefix.get_u32(), self.payload_bytes_max)?;
        if self.buffer.len() < PREFIX_BYTES + header_len + payload_len {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        let header = decode(&self.buffer.split_to(header_len))?;
        Ok(Some((header, self.buffer.split_to(payload_len).freeze())))
    }
}

fn bounded(part: &'static str, len: u32, max: usize) -> Result<usize, CodecError> {
    bounded_list(part, len as usize, max).map(|()| len as usize)
}

/// Checks the length of a list in a header.
///
/// # Errors
/// [`CodecError::Oversize`].
pub(crate) fn bounded_list(part: &'static str, len: usize, max: usize) -> Result<(), CodecError> {
    if len > max { Err(CodecError::Oversize { part, len, max }) } else { Ok(()) }
}

/// Reads the frames of one stream.
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
}

impl FrameReader {
    /// Reads the first two bytes of a stream, and returns the first: its kind.
    ///
    /// # Errors
    /// [`CodecError::Version`]: the second byte is another one than was `agreed`. [`CodecError::Broken`].
    pub(crate) async fn open(mut stream: RecvStream, agreed: MeshVersion) -> Result<(u8, Self), CodecError> {
        let mut preface = [0; 2];
        stream.read_exact(&mut preface).await.map_err(|error| CodecError::Broken(error.to_string()))?;
        let [kind, found] = preface;
        if found != agreed.number() {
            return Err(CodecError::Version { found, agreed });
        }
        Ok((kind, Self::answers(stream)))
    }

    /// Allows payloads of so many bytes beside the headers.
    pub(crate) fn with_payloads(mut self, bytes_max: usize) -> Self {
        self.decoder.payload_bytes_max = bytes_max;
        self
    }

    /// Reads frames without payloads from a stream that has no preface, or whose preface is read.
    pub(crate) fn answers(stream: RecvStream) -> Self {
        Self { stream, decoder: Decoder::with_payloads(0) }
    }

    /// The next frame; `None` at the end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub(crate) async fn next<H: DeserializeOwned>(&mut self) -> Result<Option<(H, Bytes)>, CodecError> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            match self.chunk().await? {
                Some(chunk) => self.decoder.feed(&chunk),
                None if self.decoder.is_empty() => return Ok(None),
                None => return Err(CodecError::Truncated),
            }
        }
    }

    /// The bytes of a stream without frames, at most `bytes_max`. They are read in order, as the preface was: with
    /// quinn-proto 0.11.19 an unordered read behind an ordered one may wait for ever, once packets have overtaken
    /// each other. The scenario digest-overflow meets it.
    ///
    /// # Errors
    /// [`CodecError`]: it broke, or is longer.
    pub(crate) async fn rest(mut self, bytes_max: usize) -> Result<Bytes, CodecError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            let len = bytes.len() + chunk.len();
            if len > bytes_max {
                return Err(CodecError::Oversize { part: "stream", len, max: bytes_max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, CodecError> {
        let chunk = self.stream.read_chunk(READ_CHUNK_BYTES, true).await;
        let chunk = chunk.map_err(|error| CodecError::Broken(error.to_string()))?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }
}

/// Writes one frame without payload.
///
/// # Errors
/// [`CodecError::Broken`].
pub(crate) async fn write_frame<H: Serialize>(stream: &mut SendStream, header: &H) -> Result<(), CodecError> {
    let bytes = encode(header, 0);
    stream.write_chunk(bytes).await.map_err(|error| CodecError::Broken(error.to_string()))
}

const PREFIX_BYTES: usize = 8;
/// Frames up to this length are put together on the stack. Guess: those of one push to one user are shorter.
const SHORT_BYTES_MAX: usize = 256;
/// Guess: several packets at once, so that a burst costs few calls.
const READ_CHUNK_BYTES: usize = 64 << 10;
/// The limit makes bincode refuse a length that the header could not hold.
const CONFIG: Configuration<LittleEndian, Varint, Limit<{ limits::FRAME_HEADER_BYTES_MAX }>> =
    bincode::config::standard().with_limit::<{ limits::FRAME_HEADER_BYTES_MAX }>();

#[cfg(test)]
pub(crate) mod tests;
