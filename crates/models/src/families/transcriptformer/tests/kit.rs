//! Reading kits.

use std::path::{Path, PathBuf};

use microtome_core::{Counts, GeneTable, Table};

use crate::families::transcriptformer::model::TranscriptFormer;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::{GeneMatch, Model, TokenizeOptions, Tokens};

/// The kit of the repository.
pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/transcriptformer/tf_metazoa_like")
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
    if let Some(shared) = shared("parity/transcriptformer") {
        out.extend(std::fs::read_dir(shared).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()));
    }
    out.sort();
    out
}

pub(super) fn open(kit: &Path) -> TranscriptFormer {
    provide();
    TranscriptFormer::open(&kit.join("checkpoint")).unwrap()
}

/// The reader that the program provides.
pub(super) fn provide() {
    crate::provide_hdf5_texts(microtome_h5ad::read_texts);
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

    pub(super) fn tokens(&self, model: &dyn Model, options: &TokenizeOptions) -> Tokens {
        model.tokenize(&self.counts, None, &self.genes(model), options).unwrap()
    }
}

pub(super) fn run(kit: &Path, model: &dyn Model) -> KitReport {
    run_kit_with(kit, model, &Cells::read(kit).as_kit()).unwrap()
}
