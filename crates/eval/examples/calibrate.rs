//! The protocol against simulated truth; prints the tables of `docs/calibration.md`.
//!
//!     cargo run --release -p microtome-eval --example calibrate -- [RUNS]

#![allow(clippy::print_stdout, clippy::print_stderr)]

use microtome_core::Result;
use microtome_eval::calibration::{Claims, Experiment, World, claims, coverage};
use microtome_eval::protocol::Resampling;

fn percent(count: usize, n: usize) -> String {
    format!("{:.1} %", 100.0 * count as f64 / n.max(1) as f64)
}

fn row(words: &str, e: &Experiment, c: &Claims) {
    let units = e.n_units.map_or("cells".into(), |u| format!("{u} donors"));
    println!(
        "| {words} | {} | {units} | {} | {} | {} | {} | {} | {:+.4} | {:+.4} | {:.3} |",
        e.n_depths,
        percent(c.naive, c.n),
        percent(c.depth_matters, c.n),
        percent(c.final_excluded, c.n),
        percent(c.recommended, c.n),
        percent(c.baseline_wins, c.n),
        c.naive_gain,
        c.nested_gain,
        c.detectable
    );
}

fn main() -> Result<()> {
    let n: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(500);
    let begun = std::time::Instant::now();
    println!("{n} runs of every experiment, 200 cells, 300 bootstrap replicates.\n");
    println!(
        "| blocks hold | blocks | unit | naive claim | depth matters | final excluded | model recommended | baseline wins | naive gain | nested gain | band half-width |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let base =
        Experiment { world: World::Random, n_depths: 12, n_cells: 200, n_units: None, n_bootstrap: 300 };
    for n_depths in [12, 24] {
        for n_units in [None, Some(10)] {
            for (words, world) in [("nothing", World::Random), ("the same", World::Equal)] {
                let e = Experiment { world, n_depths, n_units, ..base };
                row(words, &e, &claims(&e, n, 1)?);
            }
        }
    }
    for share in [0.2, 0.4, 0.6, 0.8] {
        let e = Experiment { world: World::Planted(share), ..base };
        row(
            &format!("the same, one in the middle with {:.0} % less noise of its own", 100.0 * share),
            &e,
            &claims(&e, n, 2)?,
        );
    }
    let e = Experiment { world: World::BetterBaseline, ..base };
    row("the same, the baseline holds it with less noise", &e, &claims(&e, n, 3)?);

    println!("\n| cells | unit | resampling | correlation | intervals that hold the truth |");
    println!("|---|---|---|---|---|");
    for (cells, units, resampling) in [
        (200, None, Resampling::TwoStage),
        (240, Some(8), Resampling::TwoStage),
        (240, Some(15), Resampling::TwoStage),
        (300, Some(30), Resampling::TwoStage),
        (300, Some(30), Resampling::Units),
    ] {
        for r in [0.0, 0.6] {
            let hits = coverage(cells, units, resampling, r, n, 4)?;
            let unit = units.map_or("cells".into(), |u: usize| format!("{u} donors"));
            println!("| {cells} | {unit} | {resampling:?} | {r} | {} |", percent(hits, n));
        }
    }
    eprintln!("{:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}
