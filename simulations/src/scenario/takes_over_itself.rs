//! emqx issue #16027: a client reconnected to the node where it was, the takeover found the new
//! connection in the place of the old one, and the session took over itself.
//!
//! Here a claim beats strictly smaller ones only, and whoever is told to let go compares stamps first.
//! Clients reconnect to one node within milliseconds, or by way of another one, while packets between
//! the nodes come twice and late and links are replaced.

use std::time::Duration;

use crate::network::Weather;
use crate::plan::{Plan, Step};
use crate::scenario::script::{Scenario, Script, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "takes-over-itself",
    story: "a session that reconnected to its node took over itself (emqx issue #16027)",
    plan,
    meets: &[
        "client: connected once more to its node",
        "client: connected to two nodes",
        "client: closed with 4001",
        "fault: packets lost, doubled, reordered",
        "fault: one-way partition",
    ],
};

fn plan() -> Plan {
    let weather = Weather {
        loss: 0.03,
        duplication: 0.4,
        reordering: 0.4,
        held_back_max: Duration::from_millis(150),
        corruption: 0.0,
    };
    connect_all(Script::new(3, CLIENTS, Settings::default()))
        .at(7_000, Step::Weather(weather))
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + 900 * round;
            // Too short to be suspect, long enough that one side dials and replaces its link.
            let script = if round % 8 == 0 {
                let cut = vec![(0, 1), (1, 2), (2, 0)];
                script.at(begin, Step::Partition(cut)).at(begin + 4_000, Step::Join)
            } else {
                script
            };
            (0..CLIENTS).fold(script, |script, client| {
                let home = (client + round as usize / 4) % 3;
                let gaps: [u64; 4] =
                    [[0, 0, 0, 0], [0, 1, 2, 3], [0, 4, 9, 300], [0, 30, 31, 60]][round as usize % 4];
                let away = usize::from(round % 3 == 1);
                let nodes = [home, (home + away) % 3, home, home];
                gaps.into_iter().zip(nodes).fold(script, |script, (gap, node)| {
                    script.at(begin + 50 + gap, Step::Connect { client, node })
                })
            })
        })
        .plan()
}

const CLIENTS: usize = 6;
const ROUNDS: u64 = 36;
