//! What the bench pushes: text that carries a number and the moment it was sent.

use std::sync::OnceLock;

use tokio::time::Instant;

/// How a message was pushed; each way has its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To one user.
    Push,
    /// To everybody.
    Broadcast,
}

/// The head of a payload. The rest is padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// How it was pushed.
    pub(crate) way: Way,
    /// Its number among those that its receiver is sent in this way.
    pub(crate) number: u64,
    /// When it was sent, see [`now_us`].
    pub(crate) sent_us: u64,
}

impl Stamp {
    /// A payload of this length.
    pub(crate) fn payload(self, bytes: usize) -> String {
        let way = if self.way == Way::Push { 'p' } else { 'b' };
        let mut payload = format!("{way} {} {} ", self.number, self.sent_us);
        payload.extend(std::iter::repeat_n('.', bytes.saturating_sub(payload.len())));
        payload
    }

    /// Reads a payload back.
    pub(crate) fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let way = match words.next()? {
            "p" => Way::Push,
            "b" => Way::Broadcast,
            _ => return None,
        };
        Some(Self { way, number: words.next()?.parse().ok()?, sent_us: words.next()?.parse().ok()? })
    }
}

/// Microseconds since the bench was asked for the first time.
pub(crate) fn now_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since then.
pub(crate) fn elapsed_us(since_us: u64) -> u32 {
    u32::try_from(now_us().saturating_sub(since_us)).unwrap_or(u32::MAX)
}
