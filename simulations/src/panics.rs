//! Panics anywhere in the process. Tasks swallow them; a run must not.

use std::panic;
use std::sync::Mutex;

static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Begins to watch.
pub(crate) fn watch() {
    panic::set_hook(Box::new(|info| {
        let mut first = FIRST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        first.get_or_insert_with(|| info.to_string().replace('\n', " "));
    }));
}

/// The first panic since the last call.
pub(crate) fn take() -> Option<String> {
    FIRST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
}
