//! Nicheformer: which of the ranked genes were hidden, behind tokens for species, assay and modality.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_models::families::nicheformer::write_untrained;
use microtome_models::{Dimensions, Model};
use microtome_train::net::{Architecture, NicheformerShape};
use microtome_train::pretrain::{Masking, Objective, Vocabulary};
use microtome_weights::Checkpoint;

use crate::pretrain::imitation::{Asked, Imitation};
use crate::pretrain::vocabulary::{Material, means};

pub(super) struct Nicheformer;
pub(super) static IMITATION: Nicheformer = Nicheformer;

const HEAD: &str = "classifier_head.weight";
const WORDS: &str = "nicheformer.embeddings.weight";

impl Imitation for Nicheformer {
    fn family(&self) -> &'static str {
        "nicheformer"
    }

    fn asks(&self) -> &'static [Asked] {
        &[Asked::MaskedGenes]
    }

    fn masking(&self) -> Masking {
        Masking::default()
    }

    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()> {
        write_untrained(size, &means(material.data)?, seed, out)
    }

    fn architecture(&self, model: &dyn Model, weights: &Checkpoint) -> Result<Box<dyn Architecture>> {
        let info = model.info();
        let rows = |name: &str| {
            let mut spelled = self.spellings(name).into_iter();
            let found = spelled.find_map(|n| weights.info(&n)?.shape.first().copied());
            found.ok_or_else(|| {
                Error::unsupported("a model without this tensor cannot be trained").at_key(name.to_string())
            })
        };
        Ok(Box::new(NicheformerShape {
            n_blocks: info.n_blocks,
            d_model: info.d_model,
            n_heads: info.n_heads,
            d_mlp: info.d_mlp,
            max_positions: info.max_tokens,
            n_rows: rows(WORDS)?,
            n_tokens: rows(HEAD)?,
        }))
    }

    /// Which entries of the readout are genes, and which one is the mask.
    fn objective(&self, model: &dyn Model, _asked: Asked) -> Result<Objective> {
        let named: Vec<(u32, &str)> =
            (0..model.info().d_vocab as u32).filter_map(|t| Some((t, model.token_name(t)?))).collect();
        let mask = named.iter().find(|(_, n)| *n == "[MASK]").map(|(t, _)| *t);
        let mask = mask.ok_or_else(|| Error::unsupported("the vocabulary has no [MASK] token"))?;
        let genes: Vec<u32> = named.iter().filter(|(_, n)| !n.starts_with('[')).map(|(t, _)| *t).collect();
        let size = genes.last().map_or(0, |t| *t as usize + 1);
        Ok(Objective::MaskedGenes(Vocabulary::new(size, mask, genes)?))
    }

    fn spellings(&self, name: &str) -> Vec<String> {
        let bare = name.strip_prefix("nicheformer.").unwrap_or(name);
        vec![name.to_string(), bare.to_string(), format!("state_dict.{bare}")]
    }
}
