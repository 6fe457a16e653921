//! A chart of what a push costs against the size of the cluster, as SVG.

use std::fmt::Write as _;

use crate::figure::{Figure, Samples, Spread};
use crate::system::System;

/// Draws it.
pub(crate) fn svg(samples: &Samples, nodes: &[usize]) -> String {
    let spread = |nodes, system| Spread::of(samples.values(Figure::ClosedCpu, nodes, system));
    let all = nodes.iter().flat_map(|nodes| SYSTEMS.map(|(system, ..)| spread(*nodes, system)));
    let highest = all.flatten().map(|spread| spread.max).fold(1.0, f64::max);
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0].into_iter().find(|step| highest / step <= 6.0);
    let step = step.unwrap_or(500.0);
    let top = (highest / step).ceil() * step;
    let y = |value: f64| BOTTOM - value / top * (BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">Server CPU per push, microseconds (all server processes; lower is better)</text>\n"
    );
    let mut line = 0.0;
    while line <= top {
        let y = y(line);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{line}</text>",
            LEFT - 8.0,
            y + 4.0
        );
        line += step;
    }
    let group = (RIGHT - LEFT) / nodes.len().max(1) as f64;
    for (at, nodes) in nodes.iter().enumerate() {
        let middle = LEFT + group * (at as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{nodes} nodes</text>",
            BOTTOM + 20.0
        );
        for (system, _, colour, side) in SYSTEMS {
            let Some(Spread { median, min, max }) = spread(*nodes, system) else { continue };
            let (x, centre) = (middle + side * BAR - BAR / 2.0, middle + side * BAR);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{BAR}\" height=\"{:.1}\" fill=\"{colour}\"/>\
                 <path d=\"M{centre:.1} {:.1}V{:.1}\" stroke=\"#333\"/>\
                 <text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{median:.0}</text>",
                y(median),
                BOTTOM - y(median),
                y(max),
                y(min),
                y(max) - 6.0
            );
        }
    }
    for (at, (_, name, colour, _)) in SYSTEMS.iter().enumerate() {
        let x = LEFT + 200.0 * at as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{name}</text>",
            HEIGHT - 24.0,
            x + 18.0,
            HEIGHT - 13.0
        );
    }
    svg += "</svg>\n";
    svg
}

/// Name, colour, and side of the middle in widths of a bar.
const SYSTEMS: [(System, &str, &str, f64); 3] = [
    (System::Pushmesh, "pushmesh", "#1b7f79", -1.1),
    (System::Redis, "axum + Redis pub/sub", "#c2452d", 0.0),
    (System::Nats, "NATS", "#3b6fb6", 1.1),
];
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 310.0;
const BAR: f64 = 44.0;
