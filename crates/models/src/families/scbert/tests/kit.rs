//! Reading kits and altering checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, GeneTable, Site, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::families::scbert::files::UNTRAINED;
use crate::families::scbert::model::ScBert;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::taps::{Recorded, Recorder};
use crate::{GeneMatch, Model, TokenizeOptions, Tokens};

/// The kit of the repository.
pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/scbert/panglao_pretrain_like")
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
    if let Some(shared) = shared("parity/scbert") {
        out.extend(std::fs::read_dir(shared).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()));
    }
    out.sort();
    out
}

pub(super) fn open(kit: &Path) -> ScBert {
    with_reader();
    ScBert::open(&kit.join("checkpoint")).unwrap()
}

/// Hands in the reader of gene orders, as a program does.
pub(super) fn with_reader() {
    crate::provide_var_names(|path| {
        Ok(microtome_h5ad::open(path)?.var(&microtome_h5ad::Slot::X)?.index)
    });
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

    pub(super) fn genes(&self, model: &dyn Model) -> GeneMatch {
        model.match_genes(&GeneTable::detect(&self.var, None, None).unwrap()).unwrap()
    }

    pub(super) fn tokens(&self, model: &dyn Model) -> Tokens {
        model.tokenize(&self.counts, None, &self.genes(model), &TokenizeOptions::default()).unwrap()
    }
}

pub(super) fn run(model: &dyn Model) -> KitReport {
    run_kit_with(&golden(), model, &Cells::read(&golden()).as_kit()).unwrap()
}

/// Rows of a site, whatever its axes but maps.
pub(super) fn record(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(
            Recorded::Tokens { data, .. } | Recorded::Cells { data, .. } | Recorded::Heads { data, .. },
        ) => data,
        other => panic!("{site}: {other:?}"),
    }
}

pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// A copy of the checkpoint folder of the repository's kit with other tensors, as safetensors.
pub(super) fn altered(tensors: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    with_reader();
    let out = tempfile::tempdir().unwrap();
    let folder = golden().join("checkpoint");
    let order = "panglao_10000.h5ad";
    std::fs::write(out.path().join(order), std::fs::read(folder.join(order)).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(&folder.join("panglao_pretrain.pth")).unwrap();
    let floats = checkpoint
        .names()
        .into_iter()
        .filter(|n| n.starts_with("model_state_dict.") && !n.ends_with("calls_since_last_redraw"));
    let mut all: Tensors = floats
        .map(|n| (n.to_string(), (checkpoint.info(n).unwrap().shape.clone(), checkpoint.read_f64(n).unwrap())))
        .collect();
    tensors(&mut all);
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F64(v))).collect();
    write_safetensors(&out.path().join(UNTRAINED), &list, &[]).unwrap();
    out
}
