//! The protocol against simulated truth; prints the tables of `docs/calibration.md`.
//!
//!     cargo run --release -p microtome-eval --example calibrate -- [RUNS] [claims|intervals]

#![allow(clippy::print_stdout, clippy::print_stderr)]

use microtome_core::Result;
use microtome_eval::calibration::{Claims, Coverage, Experiment, World, claims, coverage};
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
        c.naive_gain.value,
        c.nested_gain.value,
        c.detectable.value
    );
}

fn power_row(e: &Experiment, share: f64, n: usize) -> Result<()> {
    let c = claims(e, n, 2)?;
    println!(
        "| {:.0} % | {} | {:+.3} | {:.3} | {} | {} | {} | {} |",
        100.0 * share,
        e.n_units.map_or("cells".into(), |u| format!("{u} donors")),
        c.middle_gain.value,
        c.detectable.value,
        percent(c.band_found, c.n),
        percent(c.final_excluded, c.n),
        percent(c.depth_matters, c.n),
        percent(c.best_excluded, c.n)
    );
    Ok(())
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let n: usize = args.next().and_then(|a| a.parse().ok()).unwrap_or(500).max(1);
    let part = args.next();
    let begun = std::time::Instant::now();
    if part.as_deref() != Some("intervals") {
        all_claims(n)?;
    }
    if part.as_deref() != Some("claims") {
        intervals(n)?;
    }
    eprintln!("{:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn all_claims(n: usize) -> Result<()> {
    println!("{n} runs of every experiment, 200 cells, 300 bootstrap replicates.\n");
    println!(
        "| blocks hold | blocks | unit | naive claim | depth matters | final excluded | model recommended | baseline wins | naive gain | nested gain | gain said to be found |"
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
    let e = Experiment { world: World::BetterBaseline, ..base };
    row("the same, the baseline holds it with less noise", &e, &claims(&e, n, 3)?);

    println!(
        "\nOne block in the middle of 12 is better, 400 cells. The gain that is said to be found in 80 % of such experiments is that of the band.\n"
    );
    println!(
        "| less noise of its own | unit | true gain | gain said to be found | band above zero | final excluded | depth matters | best excluded |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for n_units in [None, Some(10)] {
        let at = |share| Experiment { world: World::Planted(share), n_cells: 400, n_units, ..base };
        for share in [0.3, 0.6, 0.9] {
            power_row(&at(share), share, n)?;
        }
        // The share at which the true gain is the one that is stated.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..7 {
            let middle = f64::midpoint(low, high);
            let c = claims(&at(middle), (n / 4).max(20), 5)?;
            if c.middle_gain.value < c.detectable.value { low = middle } else { high = middle }
        }
        power_row(&at(f64::midpoint(low, high)), f64::midpoint(low, high), n)?;
    }
    Ok(())
}

fn intervals(n: usize) -> Result<()> {
    println!("\n{n} runs of every interval, 400 bootstrap replicates.\n");
    println!(
        "| cells | unit | of the variance between units | resampling | correlation | intervals that hold the truth |"
    );
    println!("|---|---|---|---|---|---|");
    let two = Resampling::TwoStage;
    for (n_cells, n_units, between, resampling) in [
        (200, None, 0.0, two),
        (240, Some(8), 0.0, two),
        (240, Some(8), 0.2, two),
        (240, Some(15), 0.0, two),
        (240, Some(15), 0.2, two),
        (300, Some(30), 0.0, two),
        (300, Some(30), 0.2, two),
        (600, Some(60), 0.0, two),
        (600, Some(60), 0.2, two),
        (300, Some(30), 0.0, Resampling::Units),
        (300, Some(30), 0.2, Resampling::Units),
    ] {
        for r in [0.0, 0.6] {
            let e = Coverage { n_cells, n_units, resampling, r, between };
            let hits = coverage(&e, n, 4)?;
            let unit = n_units.map_or("cells".into(), |u: usize| format!("{u} donors"));
            println!("| {n_cells} | {unit} | {between} | {resampling:?} | {r} | {} |", percent(hits, n));
        }
    }
    Ok(())
}
