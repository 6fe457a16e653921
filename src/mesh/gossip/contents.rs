//! What a gossip message holds, looked at before chitchat takes it in.
//!
//! chitchat 0.11 unpacks the blocks of a delta without a bound for all of them, and its task ends at a key that
//! begins with a character of several bytes. A member that is broken or hostile must end nobody but itself.

use anyhow::{Context as _, ensure};
use chitchat::{ChitchatId, Deserializable};

use crate::limits;

/// Refuses a message that would harm the one who takes it in. What only makes no sense is left to chitchat.
///
/// # Errors
/// The harm.
pub(super) fn check(message: &[u8]) -> anyhow::Result<()> {
    let mut rest = message;
    let [_, _, _, kind] = take(&mut rest)?;
    match kind {
        SYN_ACK => {
            skip_digest(&mut rest)?;
            check_delta(&unpack(&mut rest)?)
        }
        ACK => check_delta(&unpack(&mut rest)?),
        _ => Ok(()),
    }
}

fn skip_digest(rest: &mut &[u8]) -> anyhow::Result<()> {
    for _ in 0..take::<u16>(rest)? {
        take::<ChitchatId>(rest)?;
        take::<[u8; DIGEST_BYTES]>(rest)?;
    }
    Ok(())
}

/// The operations of a delta, which come in blocks.
fn unpack(rest: &mut &[u8]) -> anyhow::Result<Vec<u8>> {
    let (mut unpacked, mut buffer) = (Vec::new(), Vec::new());
    loop {
        let block_kind: u8 = take(rest)?;
        if block_kind == NO_MORE_BLOCKS {
            return Ok(unpacked);
        }
        let len = usize::from(take::<u16>(rest)?);
        let (block, after) = rest.split_at_checked(len).context("a block is cut off")?;
        *rest = after;
        match block_kind {
            PACKED => {
                buffer.resize(usize::from(u16::MAX), 0); // Mostly no block is packed.
                let len = zstd::bulk::decompress_to_buffer(block, &mut buffer[..])?;
                unpacked.extend_from_slice(&buffer[..len]);
            }
            _ => unpacked.extend_from_slice(block),
        }
        ensure!(
            unpacked.len() <= limits::GOSSIP_UNPACKED_BYTES_MAX,
            "it unpacks to more than {} bytes",
            limits::GOSSIP_UNPACKED_BYTES_MAX
        );
    }
}

fn check_delta(mut operations: &[u8]) -> anyhow::Result<()> {
    let rest = &mut operations;
    while !rest.is_empty() {
        match take::<u8>(rest)? {
            NODE => {
                take::<ChitchatId>(rest)?;
                take::<[u8; 2 * VERSION_BYTES]>(rest)?;
            }
            KEY_VALUE => {
                let key: String = take(rest)?;
                ensure!(key.is_ascii(), "its key {key:?} is not ASCII");
                take::<String>(rest)?;
                take::<[u8; VERSION_BYTES + STATUS_BYTES]>(rest)?;
            }
            _ => _ = take::<[u8; VERSION_BYTES]>(rest)?,
        }
    }
    Ok(())
}

fn take<T: Deserializable>(rest: &mut &[u8]) -> anyhow::Result<T> {
    T::deserialize(rest)
}

/// Kinds of messages, of blocks and of operations. Source: `MessageType`, `BlockType` and `DeltaOpTag` of chitchat 0.11.
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const NO_MORE_BLOCKS: u8 = 0;
const PACKED: u8 = 1;
const NODE: u8 = 0;
const KEY_VALUE: u8 = 1;
/// A heartbeat and two versions.
const DIGEST_BYTES: usize = 3 * VERSION_BYTES;
const VERSION_BYTES: usize = 8;
/// Whether a key is set, deleted, or about to be.
const STATUS_BYTES: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with a delta in these blocks.
    fn ack(blocks: &[(u8, &[u8])]) -> Vec<u8> {
        let mut message = vec![0x53, 0xb0, 0, ACK];
        for (kind, block) in blocks {
            message.push(*kind);
            message.extend((block.len() as u16).to_le_bytes());
            message.extend(*block);
        }
        message.push(NO_MORE_BLOCKS);
        message
    }

    fn node() -> Vec<u8> {
        let mut node = vec![NODE, 2, 0];
        node.extend(b"n2");
        node.extend([[0; 8].as_slice(), &[4, 127, 0, 0, 1, 1, 0], &[0; 16]].concat());
        node
    }

    fn set(key: &str) -> Vec<u8> {
        let mut set = vec![KEY_VALUE];
        for text in [key, "v"] {
            set.extend((text.len() as u16).to_le_bytes());
            set.extend(text.as_bytes());
        }
        set.extend([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        set
    }

    /// What is found, and whether chitchat understands the message.
    fn found(message: &[u8]) -> (Result<(), String>, bool) {
        let read = chitchat::ChitchatMessage::deserialize(&mut &*message);
        (check(message).map_err(|error| error.to_string()), read.is_ok())
    }

    #[test]
    fn a_key_that_would_end_gossip_is_refused_wherever_it_is() {
        let [delta, evil] = ["mesh", "\u{227}x"].map(|key| [node(), set("state"), set(key)].concat());
        assert_eq!(found(&ack(&[(2, &node()), (2, &set("mesh"))])), (Ok(()), true));
        let packed = |delta: &[u8]| zstd::bulk::compress(delta, 3).unwrap();
        for (kind, delta, evil) in [(2, delta.clone(), evil.clone()), (PACKED, packed(&delta), packed(&evil))]
        {
            assert!(found(&ack(&[(kind, &delta)])).0.is_ok());
            let refused = found(&ack(&[(kind, &evil)])).0.unwrap_err();
            assert!(refused.contains("\u{227}x"), "{refused}");
        }
        let mut syn_ack = ack(&[(2, &[node(), set("\u{227}")].concat())]);
        let digest = [&[1, 0][..], &node()[1..20], &[0; DIGEST_BYTES]].concat();
        syn_ack.splice(3..4, [&[SYN_ACK][..], &digest].concat());
        assert!(matches!(found(&syn_ack), (Err(_), true)), "{:?}", found(&syn_ack));
    }

    #[test]
    fn a_message_that_unpacks_to_very_much_is_refused() {
        let block = zstd::bulk::compress(&[0; 60_000], 3).unwrap();
        let blocks = |count| ack(&vec![(PACKED, &block[..]); count]);
        let most = limits::GOSSIP_UNPACKED_BYTES_MAX / 60_000;
        assert!(blocks(most + 1).len() < limits::GOSSIP_BYTES_MAX);
        assert!(!check(&blocks(most)).is_err_and(|error| error.to_string().contains("unpacks to")));
        assert!(check(&blocks(most + 1)).unwrap_err().to_string().contains("unpacks to more than"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = ack(&[(2, &node()), (PACKED, &zstd::bulk::compress(&set("mesh"), 3).unwrap())]);
        for cut in 0..whole.len() {
            assert!(check(&whole[..cut]).is_err(), "{cut}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = check(&changed);
            }
        }
    }
}
