//! The scenarios, as people run them.

use std::process::{Command, Output};

/// One test for each scenario, and one that says so.
macro_rules! scenarios {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            let output = run(&["scenario", $name]);
            assert!(output.status.success(), "{}", text(&output));
        })*

        #[test]
        fn every_scenario_has_a_test() {
            let listed = text(&run(&["scenario"]));
            let listed: Vec<_> = listed.lines().filter_map(|line| line.split(": ").next()).collect();
            assert_eq!(listed, [$($name),*]);
        }
    };
}

scenarios! {
    nothing_of_a_replaced_node_is_fetched_for_ever: "replaced-node";
    a_stale_full_state_does_not_undo_what_is_newer: "stale-full-state";
    a_former_self_does_not_come_back_through_a_node_that_slept: "old-incarnation";
    a_batch_that_is_cut_deletes_nothing: "truncated-batch";
    nodes_that_know_different_things_fall_silent: "endless-replies";
    many_former_selves_and_loss_do_not_end_gossip: "digest-overflow";
    of_two_claims_at_once_one_stays: "both-lose";
    a_session_that_ended_in_a_partition_does_not_come_back: "ghost-after-partition";
    a_session_does_not_take_over_itself: "takes-over-itself";
    an_old_connection_that_flaps_does_not_hold_up_a_takeover: "flapping-old-session";
    nodes_whose_clocks_were_set_back_find_each_other_again: "clock-set-back";
    one_half_connected_node_does_not_make_the_others_flap: "half-connected";
    of_three_claims_at_once_one_stays: "three-way-claim";
    a_client_that_has_received_nothing_gets_what_it_missed: "idle-client";
    nobody_has_everything_by_half_a_position: "half-position";
    a_tail_that_is_read_in_parts_arrives_in_full: "half-read-tail";
    a_message_that_comes_during_a_takeover_is_decided_once: "pushed-through-takeover";
    what_a_client_missed_follows_it_from_node_to_node: "flapping-between-three";
    what_a_client_missed_outlives_the_nodes_that_held_it: "two-drains";
    nodes_that_stop_together_do_not_leave_their_sessions_to_each_other: "drains-together";
    what_others_hold_outlives_its_owner: "killed-owner";
    what_is_called_stored_outlives_a_kill_in_the_next_millisecond: "killed-at-once";
    what_others_hold_outlives_an_owner_that_fails_half_way: "killed-twice";
    members_that_have_forgotten_everything_do_not_count: "restarted-members";
    what_is_lost_with_all_who_held_it_is_not_called_complete: "lost-with-all";
    a_member_that_hangs_holds_up_nothing_for_ever: "hanging-member";
    what_both_sides_of_a_cut_accept_arrives: "deaf-owner";
    a_client_that_is_away_is_reached_though_its_owner_is_gone: "absent-client";
    what_is_kept_once_the_last_older_node_is_gone_outlives_its_owner: "rolling-upgrade";
}

#[test]
fn a_name_that_nobody_has_is_answered_with_those_that_there_are() {
    let output = run(&["scenario", "nonsense"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("replaced-node"), "{}", text(&output));
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulations"));
    command.args(arguments).output().expect("the program was built with this test")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}
