//! Several tasks in one scan, and what each of them refuses.

#![allow(clippy::expect_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::path::Path;

use common::{Bench, fails, succeeds, text};
use serde_json::Value;

fn records(out: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(out.join("records.jsonl")).expect("read");
    lines
        .lines()
        .map(|l| {
            let mut r: Value = serde_json::from_str(l).expect("JSON");
            // The run card differs in the command and with it in its hash.
            r["run_card"] = Value::Null;
            r
        })
        .collect()
}

/// Two sets of genes of the simulated cells.
fn gene_sets(bench: &Bench) -> std::path::PathBuf {
    let data = microtome_h5ad::open(&bench.path("cells.h5ad")).expect("opens");
    let genes = data.var(&microtome_h5ad::Slot::X).expect("var").index;
    let line = |name: &str, step: usize| {
        format!("{name}\t\t{}", genes.iter().step_by(step).cloned().collect::<Vec<_>>().join("\t"))
    };
    let path = bench.path("sets.gmt");
    std::fs::write(&path, [line("every fourth", 4), line("every seventh", 7)].join("\n")).expect("written");
    path
}

#[test]
fn all_tasks_run_over_the_same_representations() {
    let bench = Bench::new();
    let (cells, model) = (bench.path("cells.h5ad"), bench.path("model"));
    let sets = gene_sets(&bench);
    let out = bench.path("all");
    let common = [
        "--model",
        text(&model),
        "--unit",
        "donor_id",
        "--label",
        "cell_type",
        "--batch-key",
        "batch",
        "--bootstrap",
        "100",
        "--quiet",
    ];
    let mut args = vec!["scan", text(&cells), "--time", "pseudotime"];
    args.extend(["--task", "trajectory,annotation", "--task", "integration", "--task", "gene_function"]);
    args.extend(["--gene-sets", text(&sets), "--out", text(&out)]);
    args.extend(common);
    succeeds(&args);
    let summaries: Vec<Value> =
        serde_json::from_slice(&std::fs::read(out.join("summary.json")).expect("read")).expect("JSON");
    let tasks: Vec<&str> = summaries.iter().filter_map(|s| s["task"].as_str()).collect();
    assert_eq!(tasks, ["trajectory", "annotation", "integration", "gene_function"]);
    assert!(summaries.iter().all(|s| s["sentences"].as_array().is_some_and(|s| !s.is_empty())));
    let all = records(&out);
    assert!(all.iter().all(|r| r["value"].is_number() || r["reason"].is_string()));
    let card: Value =
        serde_json::from_slice(&std::fs::read(out.join("run_card.json")).expect("read")).expect("JSON");
    assert!(tasks.iter().all(|t| card["choices"][t].is_object()));
    let page = std::fs::read_to_string(out.join("report.html")).expect("read");
    for task in 0..4 {
        assert!(page.contains(&format!("<section class=\"task\" id=\"task{task}\">")));
    }
    let embeddings = microtome_h5ad::open(&out.join("embeddings.h5ad")).expect("opens");
    let columns = embeddings.obs_column_names().expect("obs");
    assert!(
        ["microtome_pseudotime", "microtome_predicted_label"].iter().all(|c| columns.iter().any(|n| n == c))
    );
    assert!(embeddings.obsm_names().iter().any(|n| n == "X_umap"));

    // A task says the same alone as beside others.
    let alone = bench.path("alone");
    let mut args = vec!["scan", text(&cells), "--task", "annotation", "--out", text(&alone)];
    args.extend(common);
    succeeds(&args);
    let own: Vec<Value> = all.into_iter().filter(|r| r["task"] == "annotation").collect();
    assert_eq!(records(&alone), own);
}

#[test]
fn every_task_says_what_it_lacks() {
    let bench = Bench::new();
    let (cells, model) = (bench.path("cells.h5ad"), bench.path("model"));
    let out = bench.path("out");
    let refused = |more: &[&str]| {
        let mut args = vec!["scan", text(&cells), "--model", text(&model), "--out", text(&out), "--quiet"];
        args.extend(more);
        let said = fails(&args, 2);
        assert!(!out.exists(), "a folder was left behind: {said}");
        said
    };
    let says = |said: String, parts: &[&str]| {
        parts.iter().for_each(|p| assert!(said.contains(p), "expected {p:?} in: {said}"));
    };
    says(refused(&["--task", "anotation"]), &["no such task", "did you mean annotation?"]);
    says(refused(&["--task", "annotation"]), &["needs the labels", "--label cell_type"]);
    says(
        refused(&["--task", "annotation", "--label", "celltype"]),
        &["no such column", "cells.h5ad", "did you mean \"cell_type\"?"],
    );
    says(
        refused(&["--task", "annotation", "--label", "cell_type", "--unit", "donorid"]),
        &["no such column", "did you mean \"donor_id\"?"],
    );
    says(
        refused(&["--task", "integration", "--label", "cell_type"]),
        &["needs the batches", "--batch-key batch"],
    );
    says(refused(&["--task", "gene_function"]), &["needs sets of genes", "--gene-sets"]);
    let wrong = bench.path("wrong.gmt");
    std::fs::write(&wrong, "set\t\tNOTAGENE1\tNOTAGENE2\n").expect("written");
    says(
        refused(&["--task", "gene_function", "--gene-sets", text(&wrong)]),
        &["no gene set has enough genes", "wrong.gmt"],
    );
    says(
        refused(&["--task", "annotation", "--label", "cell_type", "--headline", "knn_f1_macr"]),
        &["no task of this scan has such a metric", "did you mean knn_f1_macro?"],
    );
    let obo = bench.path("none.obo");
    std::fs::write(&obo, "[Term]\nid: X:1\nname: nothing\n").expect("written");
    says(
        refused(&["--task", "annotation", "--label", "cell_type", "--ontology", text(&obo)]),
        &["no label has a term", "--ontology-key"],
    );
}
