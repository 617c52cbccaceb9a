//! Reading the kit and altering its checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, GeneTable, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::families::cellfm::model::CellFm;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::{Model, TokenizeOptions, Tokens};

/// Heads of the kit; its checkpoint does not say.
pub(super) const HEADS: usize = 4;
pub(super) const LIST: &str = "expand_gene_info.csv";

pub(super) fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/cellfm/cellfm_80m_like")
}

pub(super) fn checkpoint() -> PathBuf {
    dir().join("checkpoint")
}

pub(super) fn open() -> CellFm {
    with_heads(&checkpoint(), HEADS)
}

pub(super) fn with_heads(folder: &Path, heads: usize) -> CellFm {
    CellFm::with_heads(folder, Some(heads)).unwrap()
}

pub(super) struct Cells {
    pub(super) counts: Counts,
    pub(super) var: Table,
    pub(super) obs: Table,
}

impl Cells {
    pub(super) fn read() -> Self {
        let data = microtome_h5ad::open(&dir().join("cells.h5ad")).unwrap();
        let slot = microtome_h5ad::Slot::X;
        Self {
            counts: data.matrix(&slot).unwrap().rows(0..data.n_cells()).unwrap(),
            var: data.var(&slot).unwrap(),
            obs: data.obs().unwrap(),
        }
    }

    pub(super) fn as_kit(&self) -> KitCells<'_> {
        KitCells { counts: &self.counts, var: &self.var, obs: &self.obs, totals: None }
    }

    pub(super) fn tokens(&self, model: &dyn Model) -> Tokens {
        let genes = model.match_genes(&GeneTable::detect(&self.var, None, None).unwrap()).unwrap();
        model.tokenize(&self.counts, None, &genes, &TokenizeOptions::default()).unwrap()
    }
}

pub(super) fn run(model: &dyn Model) -> KitReport {
    run_kit_with(&dir(), model, &Cells::read().as_kit()).unwrap()
}

pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A copy of the checkpoint with other tensors (as safetensors, without the optimiser's).
pub(super) fn altered(alter: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join(LIST), std::fs::read(checkpoint().join(LIST)).unwrap()).unwrap();
    let file = Checkpoint::open(&checkpoint().join("CellFM_80M_weight.ckpt")).unwrap();
    let used = |n: &&str| {
        !n.starts_with("moment") && (n.contains('.') || n.ends_with("emb") || n.ends_with("token"))
    };
    let names = file.names().into_iter().filter(used);
    let mut all: Tensors = names
        .map(|n| (n.to_string(), (file.info(n).unwrap().shape.clone(), file.read_f32(n).unwrap())))
        .collect();
    alter(&mut all);
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    write_safetensors(&out.path().join("model.safetensors"), &list, &[]).unwrap();
    std::fs::write(out.path().join("config.json"), r#"{"model_type": "cellfm", "n_heads": 4}"#).unwrap();
    out
}
