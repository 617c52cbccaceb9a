//! GeneRAIN: which gene follows in the order of bins, which are ranks of a gene's expression within that of the training cells.

use std::path::Path;

use microtome_core::Result;
use microtome_models::families::generain::{Reference, expression, write_untrained};
use microtome_models::{Dimensions, Model};
use microtome_train::net::{Activation, Architecture};
use microtome_train::pretrain::{Masking, Objective};
use microtome_weights::Checkpoint;

use crate::pretrain::imitation::{Asked, Imitation, gpt_shape};
use crate::pretrain::vocabulary::{Material, Spelling, names};

pub(super) struct GeneRain;
pub(super) static IMITATION: GeneRain = GeneRain;

const PREFIX: &str = "gene_expr_transformer.gpt.transformer.";
/// Training cells that bins are made of, at most: as many as a gene has bins.
const REFERENCE_CELLS: usize = 2_000;

impl Imitation for GeneRain {
    fn family(&self) -> &'static str {
        "generain"
    }

    fn asks(&self) -> &'static [Asked] {
        &[Asked::NextGene]
    }

    fn masking(&self) -> Masking {
        Masking::default()
    }

    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()> {
        let mut genes = names(material.data, Spelling::SymbolOrName)?;
        genes.retain(|g| !g.contains(char::is_whitespace));
        let values = material.sample(REFERENCE_CELLS, &genes, &expression)?;
        write_untrained(size, Reference { genes: &genes, values: &values }, seed, out)
    }

    fn architecture(&self, model: &dyn Model, _weights: &Checkpoint) -> Result<Box<dyn Architecture>> {
        Ok(Box::new(gpt_shape(model.info(), PREFIX, Activation::GeluErf)?))
    }

    fn objective(&self, model: &dyn Model, _asked: Asked) -> Result<Objective> {
        Ok(Objective::NextGene(model.info().d_vocab))
    }

    fn spellings(&self, name: &str) -> Vec<String> {
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        let inside = |outer: &str| format!("{outer}{name}");
        let mut all: Vec<String> =
            ["", "module.", "model_state_dict.", "model_state_dict.module."].map(inside).to_vec();
        all.push(format!("transformer.{bare}"));
        all
    }

    fn last_file(&self) -> &'static str {
        "model.param_config.json"
    }
}
