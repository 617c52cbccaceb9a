//! What stands beside a model: published tables, embeddings that others made.

#![allow(clippy::expect_used, reason = "a test may panic, in its helpers too")]

mod common;

use common::{Bench, fails, succeeds, text};
use serde_json::Value;

#[test]
fn published_optima_are_read_under_a_stated_uncertainty() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/tables/arxiv_2604.14838.csv");
    let out = dir.path().join("layers.html");
    let said = succeeds(&["report", "--from-table", table, "--sd", "0.03", "--out", text(&out), "--json"]);
    let summaries: Value = serde_json::from_str(&said).expect("JSON");
    let verdict = |dataset: &str, model: &str| {
        let all = summaries.as_array().expect("a list");
        let found = all.iter().find(|s| s["dataset"] == dataset && s["model"] == model).expect("a curve");
        found["depth_verdict"].as_str().expect("text").to_string()
    };
    assert_eq!(verdict("trajectory GSE276896", "Tahoe-X1"), "depth_matters");
    for state in ["Stim8hr", "Stim48hr"] {
        assert_eq!(verdict(state, "Tahoe-X1"), "cannot_distinguish_depths", "{state}");
    }
    let page = std::fs::read_to_string(&out).expect("a page");
    assert!(page.contains("not measurements of this program"));
    let said = fails(&["report", "--from-table", table], 2);
    assert!(said.contains("--sd") && said.contains("line 2"), "{said}");
    fails(&["report"], 2);
}

/// A `.npy` file of version 1 with `rows` rows of two numbers.
fn npy(path: &std::path::Path, rows: usize) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 2), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for i in 0..rows {
        bytes.extend((i as f32).to_le_bytes());
        bytes.extend(((i * 7 % 13) as f32).to_le_bytes());
    }
    std::fs::write(path, bytes).expect("written");
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn an_embedding_of_another_program_stands_beside_the_baselines() {
    let bench = Bench::new();
    let (cells, file, out) = (bench.path("cells.h5ad"), bench.path("other.npy"), bench.path("result"));
    npy(&file, 120);
    let args = |file: &str, out: &str| {
        [
            "scan",
            text(&cells),
            "--import",
            file,
            "--task",
            "trajectory",
            "--time",
            "pseudotime",
            "--unit",
            "donor_id",
            "--bootstrap",
            "100",
            "--out",
            out,
            "--json",
            "--quiet",
        ]
        .map(String::from)
    };
    let all = args(text(&file), text(&out));
    let report: Value = serde_json::from_str(&succeeds(&words(&all))).expect("JSON");
    let summary = &report["summaries"][0];
    assert_eq!(summary["model"], "other (imported)");
    assert_eq!(summary["depth_verdict"], "one_depth");
    assert_ne!(summary["model_verdict"], "model_recommended", "{summary}");
    let records = std::fs::read_to_string(out.join("records.jsonl")).expect("records");
    for id in ["rank_normal", "pearson_residuals", "shortest_path_spearman", "dpt_partial_spearman"] {
        assert!(records.contains(id), "{id}");
    }
    npy(&file, 119);
    let wrong = args(text(&file), text(&bench.path("none")));
    let said = fails(&words(&wrong), 2);
    assert!(said.contains("119 rows") && said.contains("120 rows"), "{said}");
    let nothing = fails(&["scan", text(&cells), "--task", "trajectory", "--out", text(&out)], 2);
    assert!(nothing.contains("--model"), "{nothing}");
}
