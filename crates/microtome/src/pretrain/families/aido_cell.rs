//! AIDO.Cell: which continuous values were hidden among those of every gene.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_models::families::aido_cell::write_untrained;
use microtome_models::{Dimensions, MASKED, Model};
use microtome_train::net::{AidoCellShape, Architecture};
use microtome_train::pretrain::{Masking, Objective};
use microtome_weights::Checkpoint;

use crate::pretrain::imitation::{Asked, Imitation};
use crate::pretrain::vocabulary::{Material, Spelling, names};

pub(super) struct AidoCell;
pub(super) static IMITATION: AidoCell = AidoCell;

/// Share of the values that is hidden.
const SHARE: f64 = 0.4;

impl Imitation for AidoCell {
    fn family(&self) -> &'static str {
        "aido_cell"
    }

    fn asks(&self) -> &'static [Asked] {
        &[Asked::Regression]
    }

    fn masking(&self) -> Masking {
        Masking::of_values(SHARE)
    }

    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()> {
        write_untrained(size, &names(material.data, Spelling::SymbolOrName)?, seed, out)
    }

    fn architecture(&self, model: &dyn Model, weights: &Checkpoint) -> Result<Box<dyn Architecture>> {
        let info = model.info();
        let wrong = |key: &str, found: String| {
            Error::unsupported("this choice of the model cannot be trained").at_key(key.to_string()).found(found)
        };
        let choice = |key: &str| info.choices.get(key).cloned().unwrap_or_default();
        let number = |key: &str| {
            let text = choice(key);
            let parsed = text.as_str().and_then(|t| t.parse::<f32>().ok());
            parsed.ok_or_else(|| wrong(key, text.to_string()))
        };
        if choice("norm").as_str() != Some("LayerNorm") {
            return Err(wrong("norm", choice("norm").to_string()));
        }
        if choice("linear_bias").as_bool() != Some(false) {
            return Err(wrong("linear_bias", choice("linear_bias").to_string()));
        }
        if weights.info("cls.predictions.decoder.weight").is_none() {
            return Err(wrong("cls.predictions", "a model without the readout of values".into()));
        }
        Ok(Box::new(AidoCellShape {
            n_blocks: info.n_blocks,
            d_model: info.d_model,
            n_heads: info.n_heads,
            d_mlp: info.d_mlp,
            n_tokens: info.d_vocab,
            n_bins: choice("bins").as_u64().unwrap_or(0) as usize,
            alpha: number("bin_alpha")?,
            eps: number("norm_eps")?,
        }))
    }

    fn objective(&self, _model: &dyn Model, _asked: Asked) -> Result<Objective> {
        Ok(Objective::MaskedValues { mask: MASKED })
    }

    fn spellings(&self, name: &str) -> Vec<String> {
        let bare = name.strip_prefix("bert.").unwrap_or(name).to_string();
        let bias = name.replace("cls.predictions.bias", "cls.predictions.decoder.bias");
        vec![name.to_string(), bare, bias]
    }
}
