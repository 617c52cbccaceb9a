//! Geneformer: which of the ranked genes were hidden.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_models::families::geneformer::{Generation, write_untrained, write_untrained_over};
use microtome_models::{Dimensions, Model};
use microtome_train::net::{Activation, Architecture, BertShape};
use microtome_train::pretrain::{Masking, Objective, Vocabulary};
use microtome_weights::Checkpoint;

use crate::pretrain::imitation::{Asked, Imitation};
use crate::pretrain::vocabulary;
use crate::pretrain::vocabulary::Material;

pub(super) struct Geneformer;
pub(super) static IMITATION: Geneformer = Geneformer;

impl Imitation for Geneformer {
    fn family(&self) -> &'static str {
        "geneformer"
    }

    fn asks(&self) -> &'static [Asked] {
        &[Asked::MaskedGenes]
    }

    fn masking(&self) -> Masking {
        Masking::default()
    }

    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()> {
        write_untrained(Generation::V1, size, &vocabulary(material.data)?, seed, out)
    }

    fn begin_over(&self, like: &Path, size: Dimensions, seed: u64, out: &Path) -> Result<()> {
        write_untrained_over(like, size, seed, out)
    }

    fn architecture(&self, model: &dyn Model, weights: &Checkpoint) -> Result<Box<dyn Architecture>> {
        let info = model.info();
        let types = weights.info("bert.embeddings.token_type_embeddings.weight");
        let choice =
            |name: &str| info.choices.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let unknown = |name: &str| {
            Error::unsupported("this choice of the model cannot be trained")
                .at_key(name.to_owned())
                .found(choice(name).to_owned())
        };
        Ok(Box::new(BertShape {
            n_blocks: info.n_blocks,
            d_model: info.d_model,
            n_heads: info.n_heads,
            d_mlp: info.d_mlp,
            max_positions: info.max_tokens,
            vocab_size: info.d_vocab,
            type_vocab_size: types.and_then(|t| t.shape.first().copied()).unwrap_or(0),
            eps: choice("layer_norm_eps").parse().map_err(|_| unknown("layer_norm_eps"))?,
            activation: match choice("activation") {
                "relu" => Activation::Relu,
                _ => return Err(unknown("activation")),
            },
        }))
    }

    /// Which entries of the vocabulary are genes, and which one is the mask.
    fn objective(&self, model: &dyn Model, _asked: Asked) -> Result<Objective> {
        let n = model.info().d_vocab;
        let mut mask = None;
        let mut genes = vec![];
        for token in 0..n as u32 {
            match model.token_name(token) {
                Some("<mask>") => mask = Some(token),
                Some(name) if name.starts_with('<') && name.ends_with('>') => {}
                Some(_) => genes.push(token),
                None => {}
            }
        }
        let mask = mask.ok_or_else(|| Error::unsupported("the vocabulary has no <mask> token"))?;
        Ok(Objective::MaskedGenes(Vocabulary::new(n, mask, genes)?))
    }
}
