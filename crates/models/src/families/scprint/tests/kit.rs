//! Reading kits and altering checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, GeneTable, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::families::scprint::model::ScPrint;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::{Model, TokenizeOptions, Tokens};

/// The kit of the repository.
pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/scprint/v15_classlist_mouse")
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
    if let Some(shared) = shared("parity/scprint") {
        out.extend(std::fs::read_dir(shared).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()));
    }
    out.sort();
    out
}

pub(super) fn open(kit: &Path) -> ScPrint {
    ScPrint::open(&kit.join("checkpoint")).unwrap()
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

    pub(super) fn tokens(&self, model: &dyn Model) -> Tokens {
        let genes = model.match_genes(&GeneTable::detect(&self.var, None, None).unwrap()).unwrap();
        model.tokenize(&self.counts, None, &genes, &TokenizeOptions::default()).unwrap()
    }
}

pub(super) fn run(kit: &Path, model: &dyn Model) -> KitReport {
    run_kit_with(kit, model, &Cells::read(kit).as_kit()).unwrap()
}

pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The checkpoint file of a kit.
pub(super) fn file(kit: &Path) -> PathBuf {
    crate::families::scprint::layout::sole(&kit.join("checkpoint")).unwrap()
}

/// A copy of a kit's checkpoint and gene table with other tensors and hyper-parameters, in the container of untrained models.
pub(super) fn altered(
    kit: &Path,
    alter: impl FnOnce(&mut Tensors, &mut serde_json::Map<String, serde_json::Value>),
) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(kit.join("aux")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::write(out.path().join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
    }
    let checkpoint = Checkpoint::open(&file(kit)).unwrap();
    let mut all: Tensors = checkpoint
        .names()
        .iter()
        .filter_map(|n| {
            let short = n.strip_prefix("state_dict.")?;
            Some((short.to_string(), (checkpoint.info(n).unwrap().shape.clone(), checkpoint.read_f32(n).unwrap())))
        })
        .collect();
    let mut raw = crate::families::scprint::hyper::Hyper::read(&checkpoint).unwrap().raw;
    alter(&mut all, &mut raw);
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    let hyper = serde_json::Value::Object(raw).to_string();
    let metadata = [("hyper_parameters".to_string(), hyper)];
    write_safetensors(&out.path().join("scprint.safetensors"), &list, &metadata).unwrap();
    out
}
