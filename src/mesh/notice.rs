//! Log lines about what may happen any number of times: one now and then, with how many it stands for.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Says which of many like events is worth a line.
#[derive(Debug)]
pub(crate) struct Notice {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    untold: u64,
}

impl Notice {
    /// At most one line in this time.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Counts an event. `Some` is how many a line would stand for, this one included, when one is due.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().expect("no panic happens under this lock");
        state.untold += 1;
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_has_a_line_and_later_lines_say_how_many_had_none() {
        let now = Instant::now();
        let notice = Notice::new(Duration::from_secs(10));
        let at = |seconds| notice.due(now + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(0), at(9), at(10), at(11), at(40)],
            [Some(1), None, None, Some(3), None, Some(2)]
        );
    }
}
