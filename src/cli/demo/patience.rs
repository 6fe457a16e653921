//! How long the demo waits.

use std::time::Duration;

/// How long anything in the story may take. Source: a killed node is gone within 10 s; twice that.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
