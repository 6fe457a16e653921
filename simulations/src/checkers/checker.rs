//! What a checker is: it is shown what happens, and says whether that may be.

use crate::event::Event;
use crate::host::Boot;
use crate::id::NodeIndex;

/// One thing that must be true.
pub(super) trait Checker {
    /// Its name in the report of a failure.
    fn name(&self) -> &'static str;

    /// Something happened.
    fn event(&mut self, _now_ms: u64, _event: &Event) -> Result<(), String> {
        Ok(())
    }

    /// A millisecond is over. The boots of all nodes, `None` for one that does not run.
    fn tick(&mut self, _now_ms: u64, _boots: &[Option<Boot>]) -> Result<(), String> {
        Ok(())
    }

    /// Now and then it is told of all nodes whether packets get through from one to another, unharmed.
    /// Those that stop do not count.
    fn paths(&mut self, _now_ms: u64, _nodes: usize, _reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {}

    /// The same, of all nodes that run, also while they stop.
    fn ways(&mut self, _now_ms: u64, _nodes: usize, _reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {}

    /// The run is over, and all that was on its way has arrived.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// How often it has met something that it is not sure to meet, by the name of what.
    fn met(&self) -> Option<(&'static str, u64)> {
        None
    }

    /// How often it compared something, by the name of what; what is 0 has checked nothing.
    fn compared(&self) -> (&'static str, u64);
}
