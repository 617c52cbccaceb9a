//! Reading kits and altering checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Column, Counts, GeneTable, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::families::geneformer::model::Geneformer;
use crate::model::CellTotals;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::{Model, Tokens, TokenizeOptions};

pub(super) const KITS: [&str; 2] = ["v1_10m_bin", "v2_104m_safetensors"];

pub(super) fn dir(kit: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/geneformer").join(kit)
}

pub(super) fn checkpoint(kit: &str) -> PathBuf {
    dir(kit).join("checkpoint")
}

pub(super) fn open(kit: &str) -> Geneformer {
    Geneformer::open(&checkpoint(kit)).unwrap()
}

/// `../shared` of the workspace, or `MICROTOME_SHARED`; says so when it is absent.
pub(super) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MICROTOME_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", path.display());
    None
}

pub(super) struct Cells {
    pub(super) counts: Counts,
    pub(super) var: Table,
    pub(super) obs: Table,
    pub(super) totals: Vec<f64>,
    pub(super) single_precision: bool,
}

impl Cells {
    pub(super) fn read(kit: &str) -> Self {
        let data = microtome_h5ad::open(&dir(kit).join("cells.h5ad")).unwrap();
        let slot = microtome_h5ad::Slot::X;
        let obs = data.obs().unwrap();
        let totals = obs.column("obs", "n_counts").unwrap();
        Self {
            counts: data.matrix(&slot).unwrap().rows(0..data.n_cells()).unwrap(),
            var: data.var(&slot).unwrap(),
            totals: totals.numbers().unwrap(),
            single_precision: matches!(totals, Column::Float(_)),
            obs,
        }
    }

    pub(super) fn totals(&self) -> CellTotals<'_> {
        CellTotals { values: &self.totals, single_precision: self.single_precision }
    }

    pub(super) fn as_kit(&self) -> KitCells<'_> {
        KitCells { counts: &self.counts, var: &self.var, obs: &self.obs, totals: Some(self.totals()) }
    }

    pub(super) fn genes(&self) -> GeneTable {
        GeneTable::detect(&self.var, Some("ensembl_id"), None).unwrap()
    }

    pub(super) fn tokens(&self, model: &dyn Model) -> Tokens {
        let genes = model.match_genes(&self.genes()).unwrap();
        model.tokenize(&self.counts, Some(self.totals()), &genes, &TokenizeOptions::default()).unwrap()
    }
}

pub(super) fn run(kit: &str, model: &dyn Model) -> KitReport {
    run_kit_with(&dir(kit), model, &Cells::read(kit).as_kit()).unwrap()
}

pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub(super) fn tensors(folder: &Path) -> Tensors {
    let file = ["model.safetensors", "pytorch_model.bin"].map(|n| folder.join(n));
    let checkpoint = Checkpoint::open(file.iter().find(|f| f.is_file()).unwrap()).unwrap();
    checkpoint
        .names()
        .iter()
        .filter(|n| !n.ends_with("position_ids"))
        .map(|n| {
            (n.to_string(), (checkpoint.info(n).unwrap().shape.clone(), checkpoint.read_f32(n).unwrap()))
        })
        .collect()
}

/// A copy of a checkpoint folder with other tensors (as safetensors).
pub(super) fn altered(folder: &Path, alter: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "pkl" || e == "json") {
            std::fs::write(out.path().join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
        }
    }
    let mut all = tensors(folder);
    alter(&mut all);
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    write_safetensors(&out.path().join("model.safetensors"), &list, &[]).unwrap();
    out
}

/// A copy with other text in `config.json`.
pub(super) fn with_config(folder: &Path, from: &str, to: &str) -> tempfile::TempDir {
    let out = altered(folder, |_| {});
    let path = out.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    out
}
