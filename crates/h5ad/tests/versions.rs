//! Files of every anndata series hold what their JSON says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::path::Path;

use common::{dense, golden};
use microtome_core::Column;
use microtome_h5ad::{Dataset, Format, Slot, Storage, open};
use serde_json::{Value, json};

fn close(found: &[Vec<f64>], expected: &Value, what: &str) {
    let expected: Vec<Vec<f64>> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(&expected) {
        // Values become the nearest f32.
        assert_eq!(f, &e.iter().map(|&v| f64::from(v as f32)).collect::<Vec<_>>(), "{what}");
    }
}

fn column_json(column: &Column) -> Vec<Value> {
    match column {
        Column::Float(v) => v.iter().map(|x| json!(x)).collect(),
        Column::Int(v) => v.iter().map(|x| json!(x)).collect(),
        Column::Bool(v) => v.iter().map(|x| json!(x)).collect(),
        Column::Text(v) => v.iter().map(|x| json!(x)).collect(),
        other => (0..other.len()).map(|i| json!(other.text(i))).collect(),
    }
}

fn check(version: &Path) {
    let expected: Value =
        serde_json::from_str(&std::fs::read_to_string(version.join("expected.json")).unwrap()).unwrap();
    let data: Dataset = open(&version.join("sparse_gzip.h5ad")).unwrap();
    assert_eq!(data.format(), Format::AnnData);
    assert_eq!(
        (data.n_cells(), data.n_genes(&Slot::X).unwrap(), data.n_genes(&Slot::Raw).unwrap()),
        (9, 4, 5)
    );
    assert_eq!(json!(data.obs_names().unwrap()), expected["obs_names"]);

    let obs = data.obs().unwrap();
    let names: Vec<&str> = obs.columns.iter().map(|(n, _)| n.as_str()).collect();
    let expected_obs = expected["obs"].as_object().unwrap();
    assert_eq!(names, expected_obs.keys().map(String::as_str).collect::<Vec<_>>());
    assert!(data.notes().is_empty(), "{:?}", data.notes());
    for (name, column) in &obs.columns {
        let mut values = expected_obs[name].as_array().unwrap().clone();
        if name == "numbered" {
            values.iter_mut().for_each(|v| *v = json!(v.to_string()));
        }
        assert_eq!(column_json(column), values, "{name}");
        assert_eq!(column_json(column), column_json(&data.obs_column(name).unwrap()));
        let kind = match name.as_str() {
            "float" => "float",
            "int" | "null_int" => "integer",
            "bool" | "null_bool" => "boolean",
            "text" | "null_text" => "text",
            _ => "categorical",
        };
        assert_eq!(column.kind(), kind, "{name}");
        if let Column::Categorical { categories, ordered, .. } = column {
            assert_eq!(json!(categories), expected["categories"][name], "{name}");
            assert_eq!(*ordered, name == "ordered");
        }
    }

    let var = data.var(&Slot::Raw).unwrap();
    assert_eq!(json!(var.index), expected["var_names"]);
    assert_eq!(json!(column_json(&var.columns[0].1)), expected["symbol"]);
    assert_eq!(data.var(&Slot::X).unwrap().index.len(), 4);

    let slots: Vec<String> = data.slots().iter().map(ToString::to_string).collect();
    assert_eq!(slots, ["X", "layers/csc", "layers/dense", "raw"]);
    for (slot, key, storage, dtype, rounded) in [
        (Slot::X, "X", Storage::Csr, "float32", false),
        (Slot::Layer("csc".into()), "csc", Storage::Csc, "float64", true),
        (Slot::Layer("dense".into()), "X", Storage::Dense, "int16", false),
        (Slot::Raw, "raw", Storage::Csr, expected["raw_dtype"].as_str().unwrap(), false),
    ] {
        let matrix = data.matrix(&slot).unwrap();
        assert_eq!((matrix.storage(), matrix.dtype().as_str()), (storage, dtype), "{slot}");
        let all = dense(&matrix.rows(0..9).unwrap());
        close(&all, &expected[key], key);
        assert_eq!(matrix.n_rounded() > 0, rounded, "{slot}");
        assert_eq!(matrix.rounding_note().is_some(), rounded);
        // Parts and picks agree with the whole.
        assert_eq!(dense(&matrix.rows(2..5).unwrap()), all[2..5]);
        assert_eq!(dense(&matrix.rows(4..4).unwrap()).len(), 0);
        let picks = [7, 0, 7, 3, 4];
        let picked: Vec<Vec<f64>> = picks.iter().map(|&i| all[i].clone()).collect();
        assert_eq!(dense(&matrix.select(&picks).unwrap()), picked, "{slot}");
        assert!(matrix.rows(3..10).unwrap_err().to_string().contains("no such cell"));
        assert!(matrix.select(&[9]).is_err());
    }

    assert_eq!(data.obsm_names(), ["X_pca"]);
    let pca = data.obsm("X_pca").unwrap();
    close(
        &(0..9).map(|i| pca.row(i).iter().map(|&v| f64::from(v)).collect()).collect::<Vec<_>>(),
        &expected["obsm"],
        "obsm",
    );
    assert!(data.obsm("X_pc").unwrap_err().to_string().contains("did you mean \"X_pca\"?"));
    let graph = data.obsp("graph").unwrap();
    assert_eq!(graph.rows(3..4).unwrap().row(0), (&[3u32][..], &[1f32][..]));
    let uns = data.uns().unwrap();
    assert_eq!(uns["text"], expected["uns"]["text"]);
    assert_eq!(uns["nested"], expected["uns"]["nested"]);

    let plain = open(&version.join("dense_lzf.h5ad")).unwrap();
    let matrix = plain.matrix(&Slot::X).unwrap();
    assert_eq!(matrix.storage(), Storage::Dense);
    close(&dense(&matrix.rows(0..9).unwrap()), &expected["dense_lzf"], "dense_lzf");
}

#[test]
fn files_of_every_series_read_the_same() {
    let mut n = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.join("expected.json").exists() {
            println!("{}", path.display());
            check(&path);
            n += 1;
        }
    }
    assert_eq!(n, 6);
}
