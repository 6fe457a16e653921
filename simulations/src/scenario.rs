//! Scenarios: runs whose plan is written by hand, each for a failure that another system shipped.
//!
//! All checkers watch them as any run. A scenario also says which cases it must meet, so that it fails
//! when it does not bring its situation about any more.

mod absent_client;
mod both_lose;
mod clock_set_back;
mod deaf_owner;
mod digest_overflow;
mod drains_together;
mod endless_replies;
mod flapping_between_three;
mod flapping_old_session;
mod ghost_after_partition;
mod half_connected;
mod half_position;
mod half_read_tail;
mod hanging_member;
mod idle_client;
mod keeping;
mod killed_at_once;
mod killed_owner;
mod killed_twice;
mod lost_with_all;
mod old_incarnation;
mod pushed_through_takeover;
mod replaced_node;
mod restarted_members;
mod rolling_upgrade;
mod script;
mod stale_full_state;
mod takes_over_itself;
mod three_way_claim;
mod truncated_batch;
mod two_drains;

pub(crate) use script::Scenario;

/// All scenarios.
pub(crate) const ALL: &[Scenario] = &[
    replaced_node::SCENARIO,
    stale_full_state::SCENARIO,
    old_incarnation::SCENARIO,
    truncated_batch::SCENARIO,
    endless_replies::SCENARIO,
    digest_overflow::SCENARIO,
    both_lose::SCENARIO,
    ghost_after_partition::SCENARIO,
    takes_over_itself::SCENARIO,
    flapping_old_session::SCENARIO,
    clock_set_back::SCENARIO,
    half_connected::SCENARIO,
    three_way_claim::SCENARIO,
    idle_client::SCENARIO,
    half_position::SCENARIO,
    half_read_tail::SCENARIO,
    pushed_through_takeover::SCENARIO,
    flapping_between_three::SCENARIO,
    two_drains::SCENARIO,
    drains_together::SCENARIO,
    killed_owner::SCENARIO,
    killed_at_once::SCENARIO,
    killed_twice::SCENARIO,
    restarted_members::SCENARIO,
    lost_with_all::SCENARIO,
    hanging_member::SCENARIO,
    deaf_owner::SCENARIO,
    absent_client::SCENARIO,
    rolling_upgrade::SCENARIO,
];

/// Finds a scenario.
///
/// # Errors
/// There is none of that name; says which there are.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    let known = || ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| anyhow::anyhow!("there is no scenario {name:?}; there are {}", known()))
}
