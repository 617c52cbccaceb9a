//! The jobs a user runs, over simulated cells.

#![allow(clippy::expect_used, reason = "a test may panic, in its helpers too")]

mod common;

use common::{Bench, fails, microtome, succeeds, text};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn scan_embed_doctor_tokenize_perturb_report() {
    let bench = Bench::new();
    let (cells, model) = (bench.path("cells.h5ad"), bench.path("model"));
    let (cells, model) = (text(&cells), text(&model));

    let diagnosis = json(&succeeds(&["doctor", cells, "--model", model, "--json", "--quiet"]));
    assert_eq!(diagnosis["n_cells"], 120);
    assert_eq!(diagnosis["organism"], "homo_sapiens");
    assert!(diagnosis["matched_counts"].as_f64().is_some_and(|s| s > 0.99));

    let inspection = json(&succeeds(&["inspect", model, "--json"]));
    assert_eq!(inspection["info"]["family"], "geneformer");
    let missing = inspection["audit"]["missing"].as_array().expect("a list");
    assert!(missing.iter().all(|m| m.as_str().is_some_and(|m| m.contains("tied to"))), "{missing:?}");
    assert!(succeeds(&["models"]).contains("v2-316m"));
    let lcad = succeeds(&["metrics", "lcad"]);
    assert!(
        lcad.contains("knn_lcad_symmetric") && lcad.contains("differs:") && !lcad.contains("dpt_spearman"),
        "{lcad}"
    );

    let tokens = bench.path("tokens.safetensors");
    let report =
        json(&succeeds(&["tokenize", cells, "--model", model, "--out", text(&tokens), "--json", "--quiet"]));
    assert_eq!(report["n_cells"], 120);
    assert!(tokens.exists());

    let table = bench.path("perturbed.csv");
    let gene = first_gene(&bench);
    succeeds(&[
        "perturb",
        cells,
        "--model",
        model,
        "--genes",
        &gene,
        "--kind",
        "overexpress",
        "--out",
        text(&table),
        "--quiet",
    ]);
    assert_eq!(std::fs::read_to_string(&table).expect("read").lines().count(), 121);
    let said = fails(
        &[
            "perturb",
            cells,
            "--model",
            model,
            "--genes",
            "NOTAGENE",
            "--kind",
            "delete",
            "--out",
            text(&table),
            "--quiet",
        ],
        2,
    );
    assert!(said.contains("no such gene"), "{said}");

    let out = bench.path("result");
    let summary = json(&succeeds(&[
        "scan",
        cells,
        "--model",
        model,
        "--task",
        "trajectory",
        "--time",
        "pseudotime",
        "--unit",
        "donor_id",
        "--label",
        "cell_type",
        "--bootstrap",
        "200",
        "--out",
        text(&out),
        "--json",
        "--quiet",
    ]));
    let summary = &summary["summaries"][0];
    assert_eq!(summary["n_units"], 8);
    assert!(summary["sentences"].as_array().is_some_and(|s| !s.is_empty()));
    for file in
        ["report.html", "records.jsonl", "records.csv", "summary.json", "embeddings.h5ad", "run_card.json"]
    {
        assert!(out.join(file).exists(), "{file} is missing");
    }
    assert!(!out.join(".work").exists());
    for line in std::fs::read_to_string(out.join("records.jsonl")).expect("read").lines() {
        let record = json(line);
        assert!(record["value"].is_number() || record["reason"].is_string(), "{record}");
    }
    // A finished result is not overwritten by accident.
    let again = [
        "scan",
        cells,
        "--model",
        model,
        "--task",
        "trajectory",
        "--time",
        "pseudotime",
        "--out",
        text(&out),
    ];
    assert!(fails(&again, 2).contains("--overwrite"));
    let page = bench.path("page.md");
    succeeds(&["report", text(&out), "--out", text(&page)]);
    assert!(std::fs::read_to_string(&page).expect("read").contains("trajectory"));
}

/// `var_names` of the simulated cells begin with a gene that every cell knows.
fn first_gene(bench: &Bench) -> String {
    let data = microtome_h5ad::open(&bench.path("cells.h5ad")).expect("opens");
    data.var(&microtome_h5ad::Slot::X).expect("var").index[0].clone()
}

#[test]
fn same_seed_same_records() {
    let bench = Bench::new();
    let (cells, model) = (bench.path("cells.h5ad"), bench.path("model"));
    let run = |name: &str, threads: &str| {
        let out = bench.path(name);
        succeeds(&[
            "scan",
            text(&cells),
            "--model",
            text(&model),
            "--task",
            "trajectory",
            "--time",
            "pseudotime",
            "--bootstrap",
            "100",
            "--threads",
            threads,
            "--out",
            text(&out),
            "--quiet",
        ]);
        let records = std::fs::read_to_string(out.join("records.jsonl")).expect("read");
        // The run card differs in the name of the output folder and with it in its hash.
        records
            .lines()
            .map(|l| {
                let mut r = json(l);
                r["run_card"] = Value::Null;
                r.to_string()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run("one", "1"), run("two", "2"));
}

#[test]
fn a_killed_embed_goes_on_and_gives_the_same_bytes() {
    let bench = Bench::new();
    let cells = bench.path("many.h5ad");
    succeeds(&["simulate", "--cells", "1500", "--genes", "1000", "--out", text(&cells), "--quiet"]);
    let model = bench.path("model");
    let args = |out: &str| {
        [
            "embed",
            text(&cells),
            "--model",
            text(&model),
            "--sites",
            "blocks.*.resid_post",
            "--quiet",
            "--out",
            out,
        ]
        .map(String::from)
    };
    let whole = bench.path("whole.h5ad");
    succeeds(&args(text(&whole)).each_ref().map(String::as_str));
    let killed = bench.path("killed.h5ad");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_microtome"))
        .args(args(text(&killed)))
        .spawn()
        .expect("starts");
    let partial = bench.path("killed.h5ad.partial");
    let chunks = || {
        std::fs::read_dir(&partial).map_or(0, |d| {
            d.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("chunk-")).count()
        })
    };
    let begun = std::time::Instant::now();
    while chunks() == 0 && begun.elapsed().as_secs() < 120 && child.try_wait().expect("asked").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(!killed.exists(), "the run finished before it could be killed");
    let refused = microtome(&args(text(&killed)).each_ref().map(String::as_str));
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--resume"));
    let mut resumed: Vec<String> = args(text(&killed)).to_vec();
    resumed.push("--resume".into());
    succeeds(&resumed.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!partial.exists());
    let read = |path: &std::path::Path| {
        let data = microtome_h5ad::open(path).expect("opens");
        data.obsm_names().iter().map(|n| data.obsm(n).expect("read")).collect::<Vec<_>>()
    };
    assert_eq!(read(&whole), read(&killed));
}

#[test]
fn parity_holds_on_the_kits_of_the_repository_and_notices_a_flipped_bit() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models");
    let folders = |path: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).expect("listed").flatten().map(|e| e.path());
        entries.filter(|p| p.is_dir()).collect()
    };
    let mut kits: Vec<_> = folders(&golden).iter().flat_map(|family| folders(family)).collect();
    kits.retain(|kit| kit.join("MANIFEST.json").exists());
    kits.sort();
    assert!(!kits.is_empty());
    let mut args = vec!["parity"];
    args.extend(kits.iter().map(|k| text(k)));
    succeeds(&args);

    let dir = tempfile::tempdir().expect("a temporary folder");
    let copy = dir.path().join("kit");
    let kit = kits.iter().find(|k| k.parent().is_some_and(|f| f.ends_with("geneformer"))).expect("a kit");
    copy_tree(kit, &copy);
    let expected = copy.join("expected.safetensors");
    let mut bytes = std::fs::read(&expected).expect("read");
    flip_a_high_bit(&mut bytes, "embed");
    std::fs::write(&expected, bytes).expect("written");
    let out = microtome(&["parity", text(&copy)]);
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("DIVERGES first at embed"), "{said}");
}

/// Flips the top exponent bit of the first value of a tensor.
fn flip_a_high_bit(file: &mut [u8], tensor: &str) {
    let n = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + n]).expect("header");
    let start = header[tensor]["data_offsets"][0].as_u64().expect("offset") as usize;
    file[8 + n + start + 3] ^= 0x40;
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).expect("read")).expect("copied")
        }
    }
}
