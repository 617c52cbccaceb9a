//! Reading kits and altering checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, GeneTable, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::families::tahoe_x1::model::TahoeX1;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::{Model, TokenizeOptions, Tokens};

/// The kit of the repository.
pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/tahoe_x1/tx1_3b_gelu_chem_composer_pt")
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

/// The kit of the repository and all kits of the shared folder.
pub(super) fn kits() -> Vec<PathBuf> {
    let mut out = vec![golden()];
    if let Some(shared) = shared("parity/tahoe_x1") {
        out.extend(std::fs::read_dir(shared).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()));
    }
    out.sort();
    out
}

pub(super) fn open(kit: &Path) -> TahoeX1 {
    TahoeX1::open(&kit.join("checkpoint")).unwrap()
}

pub(super) struct Cells {
    pub(super) counts: Counts,
    pub(super) var: Table,
    pub(super) obs: Table,
}

impl Cells {
    pub(super) fn read(kit: &Path) -> Self {
        let data = microtome_h5ad::open(&kit.join("cells.h5ad")).unwrap();
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

    pub(super) fn genes(&self) -> GeneTable {
        GeneTable::detect(&self.var, None, None).unwrap()
    }

    pub(super) fn tokens(&self, model: &dyn Model, options: &TokenizeOptions) -> Tokens {
        let genes = model.match_genes(&self.genes()).unwrap();
        model.tokenize(&self.counts, None, &genes, options).unwrap()
    }
}

pub(super) fn run(kit: &Path, model: &dyn Model) -> KitReport {
    run_kit_with(kit, model, &Cells::read(kit).as_kit()).unwrap()
}

pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A copy of a kit's checkpoint with other tensors (as safetensors).
pub(super) fn altered(kit: &Path, alter: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let folder = kit.join("checkpoint");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yml" || e == "json") {
            std::fs::write(out.path().join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
        }
    }
    let file = ["model.safetensors", "best-model.pt"].map(|n| folder.join(n));
    let checkpoint = Checkpoint::open(file.iter().find(|f| f.is_file()).unwrap()).unwrap();
    let mut all: Tensors = checkpoint
        .names()
        .iter()
        .map(|n| (n, n.strip_prefix("state.model.").unwrap_or(n)))
        .filter(|(_, n)| n.starts_with("model."))
        .map(|(full, n)| {
            (n.to_string(), (checkpoint.info(full).unwrap().shape.clone(), checkpoint.read_f32(full).unwrap()))
        })
        .collect();
    alter(&mut all);
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    write_safetensors(&out.path().join("model.safetensors"), &list, &[]).unwrap();
    out
}

/// A copy with other text in one of its files.
pub(super) fn edited(kit: &Path, file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let out = altered(kit, |_| {});
    let path = out.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    out
}
