//! Writes a small file that exercises everything the writer can write; `tests/python/check_written.py` reads it back with
//! anndata and scanpy. Usage: `write_sample OUT.h5ad`

use std::path::PathBuf;

use microtome_core::{Column, Counts, Matrix, Result, Table};
use microtome_h5ad::Writer;
use serde_json::json;

const CELLS: usize = 300;
const GENES: usize = 40;

/// Every seventh cell and gene combination counts something.
fn counts(cells: std::ops::Range<usize>) -> Result<Counts> {
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for cell in cells {
        for gene in 0..GENES {
            if (cell * 3 + gene) % 7 == 0 {
                indices.push(gene as u32);
                values.push((cell + gene) as f32 + 1.0);
            }
        }
        indptr.push(values.len());
    }
    Counts::new(GENES, indptr, indices, values)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: write_sample OUT.h5ad")?);
    let optional = |i: usize| i % 4 != 3;
    let obs = Table {
        index: (0..CELLS).map(|i| format!("cell-{i}")).collect(),
        columns: vec![
            (
                "score".into(),
                Column::Float((0..CELLS).map(|i| if i == 5 { f64::NAN } else { i as f64 / 8.0 }).collect()),
            ),
            ("n".into(), Column::Int((0..CELLS).map(|i| Some(i as i64 - 7)).collect())),
            ("n_missing".into(), Column::Int((0..CELLS).map(|i| optional(i).then_some(i as i64)).collect())),
            ("flag".into(), Column::Bool((0..CELLS).map(|i| Some(i % 2 == 0)).collect())),
            (
                "flag_missing".into(),
                Column::Bool((0..CELLS).map(|i| optional(i).then_some(i % 2 == 0)).collect()),
            ),
            ("name".into(), Column::Text((0..CELLS).map(|i| Some(format!("β-{i}"))).collect())),
            (
                "name_missing".into(),
                Column::Text((0..CELLS).map(|i| optional(i).then(|| format!("t{i}"))).collect()),
            ),
            (
                "cell type".into(),
                Column::Categorical {
                    categories: vec!["B".into(), "T".into(), "NK".into()],
                    codes: (0..CELLS).map(|i| optional(i).then_some((i % 3) as u32)).collect(),
                    ordered: true,
                },
            ),
        ],
    };
    let var = Table { index: (0..GENES).map(|i| format!("ENSG{i:05}")).collect(), columns: vec![] };
    let mut writer = Writer::create(&out, &obs, &var)?;
    writer.begin_x(GENES)?;
    writer.begin_obsm("X_geneformer.blocks.3.resid_post", 6)?;
    for start in (0..CELLS).step_by(64) {
        let part = start..(start + 64).min(CELLS);
        writer.append_x(&counts(part.clone())?)?;
        let rows: Vec<f32> = part.flat_map(|i| (0..6).map(move |j| i as f32 - j as f32 / 2.0)).collect();
        writer.append_obsm("X_geneformer.blocks.3.resid_post", &rows)?;
    }
    writer.compress_counts(None);
    writer.set_layer("counts", &counts(0..CELLS)?)?;
    writer.set_obsm("X_one", &Matrix::new(CELLS, 1, (0..CELLS).map(|i| i as f32).collect())?)?;
    writer.set_uns(&json!({
        "microtome": {
            "version": "0.1.0", "seed": 7, "share": 0.25, "ok": true, "absent": null, "empty": "",
            "models": ["geneformer", "scgpt"], "depths": [0.0, 0.5, 1.0], "sizes": [1, 2, 3], "flags": [true, false],
            "table": [[1, 2, 3], [4, 5, 6]], "mixed": [1, "a", {"b": null}], "none": []
        }
    }))?;
    writer.finish()?;
    Ok(())
}
