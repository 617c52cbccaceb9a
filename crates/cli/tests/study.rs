//! The parameter-free study from the command line.

#![allow(clippy::expect_used, reason = "a test may panic, in its helpers too")]

mod common;

use common::{fails, succeeds, text};

#[test]
fn one_data_set_and_several() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let simulated = |name: &str, seed: &str| {
        let path = dir.path().join(name);
        succeeds(&["simulate", "--cells", "240", "--seed", seed, "--out", text(&path), "--quiet"]);
        path
    };
    let (a, b) = (simulated("a.h5ad", "1"), simulated("b.h5ad", "1"));
    let out = dir.path().join("study.csv");
    let common = ["--label", "cell_type", "--min-cells", "10", "--splits", "2", "--quiet"];
    let one = [&["study", text(&a), "--out", text(&out)][..], &common].concat();
    let said = succeeds(&one);
    assert!(
        said.contains("rank_normal") && said.contains("logistic") && said.contains("optimistic"),
        "{said}"
    );
    let table = std::fs::read_to_string(&out).expect("written");
    assert_eq!(table.lines().count(), 1 + 2 * 2 * 4, "{table}");

    let (first, second) = (format!("one={}", text(&a)), format!("two={}", text(&b)));
    let two = [&["study", &first, &second, "--json"][..], &common].concat();
    let found: serde_json::Value = serde_json::from_str(&succeeds(&two)).expect("JSON");
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4 * 13, "four ordered pairs with the diagonal, thirteen combinations");
    assert!(rows.iter().filter(|r| r["target"] == "held out").count() == 2 * 13);
    let best = &found["means"][0];
    assert!(best["f1"].as_f64().is_some_and(|f| f > 0.5) && best["f1_with_diagonal"].is_number(), "{best}");

    let again = [&["study", &first, &second, "--orthologs", "on:two=x.csv"][..], &common].concat();
    assert!(fails(&again, 2).contains("did you mean one?"));
    let clash = [&["study", text(&a), text(&a)][..], &common].concat();
    assert!(fails(&clash, 2).contains("two data sets have one name"));
}
