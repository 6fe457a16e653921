//! No code panics, whatever happens to it.

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::host::Boot;

/// Watches for panics.
#[derive(Default)]
pub(super) struct NoPanic {
    watched_ms: u64,
}

impl Checker for NoPanic {
    fn name(&self) -> &'static str {
        "no code panics"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Panicked(what) => Err(what.clone()),
            _ => Ok(()),
        }
    }

    fn tick(&mut self, _: u64, _: &[Option<Boot>]) -> Result<(), String> {
        self.watched_ms += 1;
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("milliseconds watched for panics", self.watched_ms)
    }
}
