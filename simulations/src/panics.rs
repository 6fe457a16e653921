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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_any_thread_is_told_once() {
        watch();
        let thread = std::thread::Builder::new().spawn(|| panic!("of a test, on purpose")).unwrap();
        let panicked: std::thread::Result<()> = thread.join();
        let _ = panic::take_hook(); // The others are to be heard again.
        assert!(panicked.is_err());
        assert!(take().is_some_and(|what| what.contains("of a test, on purpose")));
        assert_eq!(take(), None);
    }
}
