//! Kits, cells and extraction options.

use std::path::{Path, PathBuf};

use microtome::{DataOptions, ExtractOptions, OpenModel, RunOptions};
use microtome_core::Site;
use microtome_models::taps::{Recorded, Recorder};
use microtome_models::{TokenizeOptions, Tokens};

pub(crate) fn kit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(name)
}

/// Families with softmax attention, one kit each.
pub(crate) const SOFTMAX: [&str; 8] = [
    "aido_cell/mlm_bin",
    "geneformer/v1_10m_bin",
    "nicheformer/hf_safetensors",
    "scfoundation/short_gene_list",
    "scprint/v15_classlist_mouse",
    "tahoe_x1/tx1_3b_gelu_chem_composer_pt",
    "transcriptformer/tf_metazoa_like",
    "scgpt/impl_dsbn_batch",
];

pub(crate) fn tokens(model: &OpenModel, cells: &Path) -> Tokens {
    let dataset = microtome_h5ad::open(cells).unwrap();
    let slot = dataset.slots().into_iter().next().unwrap();
    let genes = microtome_core::GeneTable::detect(&dataset.var(&slot).unwrap(), None, None).unwrap();
    let matched = model.model.match_genes(&genes).unwrap();
    let reader = dataset.matrix(&slot).unwrap();
    let counts = reader.rows(0..reader.n_cells()).unwrap();
    let n = counts.n_cells();
    let options = TokenizeOptions {
        batches: Some(vec![0; n]),
        assays: Some(vec!["unknown".into(); n]),
        ..TokenizeOptions::default()
    };
    model.model.tokenize(&counts, None, &matched, &options).unwrap()
}

pub(crate) fn values(recorder: &Recorder, site: &Site) -> (Vec<f32>, usize) {
    match recorder.get(site) {
        Some(Recorded::Tokens { data, width }) => (data.clone(), *width),
        Some(Recorded::Heads { data, n_heads, d_head }) => (data.clone(), n_heads * d_head),
        other => panic!("{site}: {other:?}"),
    }
}

fn options(name: &str, out: &Path) -> ExtractOptions {
    ExtractOptions {
        data: DataOptions { path: kit(name).join("cells.h5ad"), ..DataOptions::default() },
        models: vec![kit(name).join("checkpoint")],
        categories: vec!["group".into()],
        max_cells: 1000,
        min_cells: 1,
        sites: "embed,blocks.*.resid_post".into(),
        with_twins: false,
        run: RunOptions::default(),
        out: out.to_path_buf(),
        resume: false,
        overwrite: false,
        command: vec!["test".into()],
    }
}

/// A kit's cells with a column of two categories.
pub(crate) fn with_groups(name: &str, dir: &Path) -> ExtractOptions {
    let from = microtome_h5ad::open(&kit(name).join("cells.h5ad")).unwrap();
    let slot = from.slots().into_iter().next().unwrap();
    let mut obs = from.obs().unwrap();
    let n = obs.index.len();
    let groups = (0..n).map(|i| Some(if i % 2 == 0 { "a / b" } else { "0" }.to_string())).collect();
    obs.columns.push(("group".into(), microtome_core::Column::Text(groups)));
    let reader = from.matrix(&slot).unwrap();
    let mut writer =
        microtome_h5ad::Writer::create(&dir.join("cells.h5ad"), &obs, &from.var(&slot).unwrap()).unwrap();
    writer.set_x(&reader.rows(0..n).unwrap()).unwrap();
    writer.finish().unwrap();
    let mut options = options(name, &dir.join("store"));
    options.data.path = dir.join("cells.h5ad");
    options
}
