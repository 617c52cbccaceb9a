//! Reading kits and altering checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, GeneTable, Table};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use crate::families::nicheformer::contexts::COLUMNS;
use crate::families::nicheformer::model::Nicheformer;
use crate::parity::{KitCells, KitReport, run_kit_with};
use crate::{Model, TokenizeOptions, Tokens};

pub(super) const HF: &str = "hf_safetensors";
/// Kits that are compared where the shared data is at hand; their gene lists are `.h5ad` files.
pub(super) const LIGHTNING: [&str; 2] = ["lightning_paper_notebook", "lightning_repo_dataset"];

/// The folder of a kit, or `None` (said aloud) when it is not at hand.
pub(super) fn dir(kit: &str) -> Option<PathBuf> {
    crate::provide_var_names(|path| Ok(microtome_h5ad::open(path)?.var(&microtome_h5ad::Slot::X)?.index));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if kit == HF {
        return Some(here.join("../../golden/models/nicheformer").join(kit));
    }
    let root =
        std::env::var_os("MICROTOME_SHARED").map_or_else(|| here.join("../../../shared"), PathBuf::from);
    let path = root.join("parity/nicheformer").join(kit);
    if !path.exists() {
        println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", path.display());
        return None;
    }
    Some(path)
}

pub(super) fn kits() -> Vec<PathBuf> {
    [HF].into_iter().chain(LIGHTNING).filter_map(dir).collect()
}

pub(super) fn checkpoint() -> PathBuf {
    dir(HF).unwrap().join("checkpoint")
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

    pub(super) fn contexts(&self) -> BTreeMap<String, Vec<String>> {
        let texts = |name: &str| {
            let column = self.obs.column("obs", name).unwrap();
            (0..column.len()).map(|i| column.text(i).unwrap()).collect()
        };
        COLUMNS.iter().map(|(c, _)| ((*c).to_string(), texts(c))).collect()
    }

    pub(super) fn tokens(&self, model: &dyn Model, recipe: Option<&str>) -> Tokens {
        let genes = model.match_genes(&GeneTable::detect(&self.var, None, None).unwrap()).unwrap();
        let options = TokenizeOptions {
            recipe: recipe.map(str::to_string),
            contexts: self.contexts(),
            ..TokenizeOptions::default()
        };
        model.tokenize(&self.counts, None, &genes, &options).unwrap()
    }
}

pub(super) fn run(kit: &Path, model: &dyn Model) -> KitReport {
    run_kit_with(kit, model, &Cells::read(kit).as_kit()).unwrap()
}

pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A copy of the committed checkpoint with other tensors.
pub(super) fn altered(alter: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let (from, out) = (checkpoint(), tempfile::tempdir().unwrap());
    for name in ["config.json", "vocab.json"] {
        std::fs::write(out.path().join(name), std::fs::read(from.join(name)).unwrap()).unwrap();
    }
    let file = Checkpoint::open(&from.join("model.safetensors")).unwrap();
    let floats = file.names().into_iter().filter(|n| !n.ends_with(".pos"));
    let mut all: Tensors = floats
        .map(|n| (n.to_string(), (file.info(n).unwrap().shape.clone(), file.read_f32(n).unwrap())))
        .collect();
    alter(&mut all);
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        all.iter().map(|(n, (shape, v))| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    write_safetensors(&out.path().join("model.safetensors"), &list, &[]).unwrap();
    out
}

/// A copy with other text in one of its files.
pub(super) fn with_text(name: &str, from: &str, to: &str) -> tempfile::TempDir {
    let out = altered(|_| {});
    let path = out.path().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {name}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    out
}

pub(super) fn open(folder: &Path) -> Nicheformer {
    Nicheformer::open(folder).unwrap()
}
