//! tGPT: which gene follows in the order of falling counts.

use std::path::Path;

use microtome_core::Result;
use microtome_models::families::tgpt::write_untrained;
use microtome_models::{Dimensions, Model};
use microtome_train::net::{Activation, Architecture};
use microtome_train::pretrain::{Masking, Objective};
use microtome_weights::Checkpoint;

use crate::pretrain::imitation::{Asked, Imitation, gpt_shape};
use crate::pretrain::vocabulary::{Material, Spelling, names};

pub(super) struct Tgpt;
pub(super) static IMITATION: Tgpt = Tgpt;

const PREFIX: &str = "transformer.";

impl Imitation for Tgpt {
    fn family(&self) -> &'static str {
        "tgpt"
    }

    fn asks(&self) -> &'static [Asked] {
        &[Asked::NextGene]
    }

    fn masking(&self) -> Masking {
        Masking::default()
    }

    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()> {
        write_untrained(size, &names(material.data, Spelling::SymbolOrName)?, seed, out)
    }

    fn architecture(&self, model: &dyn Model, _weights: &Checkpoint) -> Result<Box<dyn Architecture>> {
        Ok(Box::new(gpt_shape(model.info(), PREFIX, Activation::GeluTanh)?))
    }

    fn objective(&self, model: &dyn Model, _asked: Asked) -> Result<Objective> {
        Ok(Objective::NextGene(model.info().d_vocab))
    }

    fn spellings(&self, name: &str) -> Vec<String> {
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        vec![name.to_string(), bare.to_string()]
    }
}
