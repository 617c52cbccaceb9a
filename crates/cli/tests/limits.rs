//! Memory and threads: what the user allows is kept to, and changes no byte of the result.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and says what it measured, in its helpers too"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Bench, little_memory, succeeds, text};

/// Largest resident size of a run in bytes, as Linux counts it; `None` elsewhere.
fn peak(args: &[&str]) -> Option<u64> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microtome"));
    let mut child = command.args(args).stdout(Stdio::null()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut highest = None;
    let ended = loop {
        let said = fs::read_to_string(&status).unwrap_or_default();
        let line = said.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        highest = line.and_then(|n| n.trim().parse::<u64>().ok()).map(|kib| kib << 10).or(highest);
        if let Some(ended) = child.try_wait().expect("asked") {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(ended.success(), "{args:?} failed");
    highest
}

/// A model of published size, so that its weights and activations matter beside the program itself.
fn wide(bench: &Bench) -> PathBuf {
    let (model, wide) = (bench.path("model"), bench.path("wide"));
    let init = ["init", "--family", "geneformer", "--preset", "v1-10m", "--like", text(&model)];
    succeeds(&[&init[..], &["--out", text(&wide), "--quiet"]].concat());
    wide
}

#[test]
fn memory_is_kept_to_or_refused_and_neither_it_nor_threads_change_a_byte() {
    let bench = Bench::new();
    let (cells, model, out) = (bench.path("many.h5ad"), wide(&bench), bench.path("out.h5ad"));
    succeeds(&["simulate", "--cells", "400", "--out", text(&cells), "--quiet"]);
    let embed = ["embed", text(&cells), "--model", text(&model), "--sites", "blocks.*.resid_post", "--quiet"];
    let run = |more: &[&str]| {
        let _ = fs::remove_file(&out);
        let highest = peak(&[&embed[..], &["--out", text(&out)], more].concat());
        let data = microtome_h5ad::open(&out).expect("opens");
        let values: Vec<_> = data.obsm_names().iter().map(|n| data.obsm(n).expect("read")).collect();
        (highest, values)
    };
    let (free, whole) = run(&[]);
    let allowed = little_memory(&embed, &bench.path("no.h5ad"));
    assert!(!bench.path("no.h5ad.partial").exists());
    let (bounded, same) = run(&["--memory", &allowed]);
    assert_eq!(whole, same, "a smaller memory changed the result");
    let bytes = 1_000_000 * allowed.trim_end_matches("MB").parse::<u64>().expect("megabytes");
    match (free, bounded) {
        (Some(free), Some(bounded)) => {
            println!(
                "peak {} MB without a limit, {} MB with {allowed} allowed",
                free / 1_000_000,
                bounded / 1_000_000
            );
            assert!(bounded <= bytes, "{bounded} bytes with {allowed} allowed");
            assert!(free > bytes, "the limit was none: {free}");
        }
        _ => {
            println!("this system does not say how much memory a process takes; only the result was compared")
        }
    }
    assert_eq!(whole, run(&["--threads", "1"]).1, "one thread gives another result");
    assert_eq!(whole, run(&["--threads", "2"]).1, "two threads give another result");
}

#[test]
fn peak_memory_does_not_grow_with_the_number_of_cells() {
    let bench = Bench::new();
    let model = wide(&bench);
    let highest = |n: usize| {
        let cells = bench.path(&format!("{n}.h5ad"));
        let n = n.to_string();
        succeeds(&["simulate", "--cells", &n, "--genes", "300", "--out", text(&cells), "--quiet"]);
        let out = bench.path("out.h5ad");
        let embed =
            ["embed", text(&cells), "--model", text(&model), "--sites", "blocks.0.resid_post", "--quiet"];
        peak(&[&embed[..], &["--overwrite", "--out", text(&out)]].concat())
    };
    match (highest(2_000), highest(8_000)) {
        (Some(few), Some(many)) => {
            println!("peak {} kB for 2,000 cells, {} kB for 8,000", few / 1000, many / 1000);
            assert!(many as f64 <= 1.1 * few as f64, "{few} bytes for 2,000 cells, {many} for 8,000");
        }
        _ => println!("skipped: this system does not say how much memory a process takes"),
    }
}

#[test]
fn bf16_states_its_distance_and_fails_kits_made_for_f32() {
    let bench = Bench::new();
    let (cells, model, out) = (bench.path("cells.h5ad"), bench.path("model"), bench.path("out.h5ad"));
    let embed = ["embed", text(&cells), "--model", text(&model), "--sites", "embed,blocks.*.resid_post"];
    let report =
        succeeds(&[&embed[..], &["--precision", "bf16", "--json", "--quiet", "--out", text(&out)]].concat());
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let drift = report["cells"]["drift"].as_array().expect("a list");
    assert_eq!(drift.len(), 7);
    let error = |i: usize| drift[i]["max_relative_error"].as_f64().expect("a number");
    assert_eq!(error(0), 0.0, "the embedding multiplies nothing");
    assert!((1..7).all(|i| error(i) > 1e-4 && error(i) < 0.1), "{drift:?}");
    let written = microtome_h5ad::open(&out).expect("opens").uns().expect("uns");
    assert_eq!(written["microtome"]["precision"], "bf16");
    assert!(
        written["microtome"]["choices"]["bf16_drift_from_f32"].to_string().contains("blocks.5.resid_post")
    );
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/geneformer/v1_10m_bin");
    succeeds(&["parity", text(&kit)]);
    let out = common::microtome(&["parity", text(&kit), "--precision", "bf16"]);
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("out of tolerance, the farthest") && said.contains("DIVERGES first at"), "{said}");
}
