//! Every wrong input gets a message that says what, where, expected, found and what to do; exit code 2; nothing left behind.

#![allow(clippy::expect_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::fs;
use std::path::Path;

use common::{Bench, fails, text};
use microtome_core::{Column, Counts, Table};
use microtome_h5ad::Writer;

fn write(path: &Path, names: &[String], values: &[f32], n_cells: usize) {
    let n_genes = names.len();
    let obs = Table { index: (0..n_cells).map(|i| format!("cell{i}")).collect(), columns: vec![] };
    let var = Table {
        index: names.to_vec(),
        columns: vec![("ensembl_id".into(), Column::Text(names.iter().map(|n| Some(n.clone())).collect()))],
    };
    let indptr = (0..=n_cells).map(|i| i * n_genes).collect();
    let indices = (0..n_cells).flat_map(|_| 0..n_genes as u32).collect();
    let values = (0..n_cells * n_genes).map(|i| values[i % values.len()]).collect();
    let mut writer = Writer::create(path, &obs, &var).expect("created");
    writer.set_x(&Counts::new(n_genes, indptr, indices, values).expect("counts")).expect("written");
    writer.finish().expect("finished");
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "expected {part:?} in: {message}");
    }
}

/// One bench for all: making it takes longer than any of the refusals.
#[test]
fn wrong_inputs_are_refused_with_an_explanation() {
    let bench = Bench::new();
    let (cells, model) = (bench.path("cells.h5ad"), bench.path("model"));
    let out = bench.path("out.h5ad");
    let embed = |data: &Path, model: &Path| {
        let said = fails(&["embed", text(data), "--model", text(model), "--out", text(&out)], 2);
        assert!(!out.exists(), "an output was left behind");
        assert!(!bench.path("out.h5ad.partial").exists(), "a partial output was left behind: {said}");
        said
    };
    let human: Vec<String> = (0..400).map(|i| format!("ENSG{i:011}")).collect();
    let mouse: Vec<String> = (0..400).map(|i| format!("ENSMUSG{i:011}")).collect();

    // Log-normalised X.
    let bad = bench.path("lognorm.h5ad");
    write(&bad, &human, &[0.7, 1.9, 2.3], 20);
    says(
        &embed(&bad, &model),
        &["lognorm.h5ad: X", "does not hold raw counts", "log-normalised", "expected:", "try:"],
    );

    // Mouse ids.
    let bad = bench.path("mouse.h5ad");
    write(&bad, &mouse, &[1.0, 2.0], 20);
    says(&embed(&bad, &model), &["mouse", "human", "try:"]);

    // Human ids that the model has never heard of.
    let bad = bench.path("strangers.h5ad");
    write(&bad, &human, &[1.0, 2.0], 20);
    says(&embed(&bad, &model), &["strangers.h5ad", "expected:", "found:"]);

    // Missing column.
    let said = fails(
        &[
            "scan",
            text(&cells),
            "--model",
            text(&model),
            "--task",
            "trajectory",
            "--time",
            "pseudotme",
            "--out",
            text(&bench.path("s")),
        ],
        2,
    );
    says(&said, &["obs[\"pseudotme\"]", "no such column", "did you mean \"pseudotime\""]);

    // Unknown task and site.
    let said = fails(
        &[
            "scan",
            text(&cells),
            "--model",
            text(&model),
            "--task",
            "trajectry",
            "--time",
            "pseudotime",
            "--out",
            text(&bench.path("s")),
        ],
        2,
    );
    says(&said, &["no such task", "did you mean trajectory"]);
    let said = fails(
        &[
            "embed",
            text(&cells),
            "--model",
            text(&model),
            "--sites",
            "block.*.resid_post",
            "--out",
            text(&out),
        ],
        2,
    );
    says(&said, &["no site of this model matches", "blocks.{i}.resid_post"]);

    // Truncated data.
    let bytes = fs::read(&cells).expect("read");
    let bad = bench.path("truncated.h5ad");
    for keep in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&bad, &bytes[..keep]).expect("written");
        says(&embed(&bad, &model), &["truncated.h5ad"]);
    }

    // Truncated weights.
    let broken = bench.path("broken");
    copy_folder(&model, &broken);
    let weights = broken.join("model.safetensors");
    let bytes = fs::read(&weights).expect("read");
    for keep in [0, 4, 60, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&weights, &bytes[..keep]).expect("written");
        says(&embed(&cells, &broken), &["model.safetensors"]);
    }

    // A pickle that would run a command.
    let hostile = bench.path("hostile");
    copy_folder(&model, &hostile);
    let pickle = b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.";
    fs::write(hostile.join("token_dictionary.pkl"), pickle).expect("written");
    says(&embed(&cells, &hostile), &["token_dictionary.pkl", "posix.system"]);
    assert!(!Path::new("pwned").exists());

    // Not a model at all.
    says(&embed(&cells, &bench.path("nothing")), &["nothing", "no such file"]);
    says(&embed(&bench.path("nothing.h5ad"), &model), &["nothing.h5ad"]);

    // Outputs that cannot be written, or are there already.
    let said = fails(
        &[
            "embed",
            text(&cells),
            "--model",
            text(&model),
            "--out",
            text(&bench.path("no/such/folder/out.h5ad")),
        ],
        2,
    );
    says(&said, &["cannot write into this folder", "try:"]);
    fs::write(&out, "mine").expect("written");
    let said = fails(&["embed", text(&cells), "--model", text(&model), "--out", text(&out)], 2);
    says(&said, &["exists already", "--overwrite"]);
    assert_eq!(fs::read(&out).expect("read"), b"mine");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
