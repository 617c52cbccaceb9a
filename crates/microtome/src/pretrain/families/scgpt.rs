//! scGPT: which binned values were hidden, asked of the genes and of the cell's vector.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_models::families::scgpt::{N_BINS, write_untrained};
use microtome_models::{Dimensions, Model};
use microtome_train::net::{Architecture, ScGptShape};
use microtome_train::pretrain::{Masking, Objective};
use microtome_weights::Checkpoint;

use crate::pretrain::imitation::{Asked, Imitation};
use crate::pretrain::vocabulary::{Material, Spelling, names};

pub(super) struct ScGpt;
pub(super) static IMITATION: ScGpt = ScGpt;

/// `mask_value` of the published models; the masked-expression readout knows no other.
const MASK: f32 = -1.0;
/// Share of the values that the authors' recipes hide.
const SHARE: f64 = 0.4;

impl Imitation for ScGpt {
    fn family(&self) -> &'static str {
        "scgpt"
    }

    fn asks(&self) -> &'static [Asked] {
        &[Asked::Regression, Asked::Classification]
    }

    fn masking(&self) -> Masking {
        Masking::of_values(SHARE)
    }

    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()> {
        write_untrained(size, &names(material.data, Spelling::SymbolOrId)?, seed, out)
    }

    fn architecture(&self, model: &dyn Model, weights: &Checkpoint) -> Result<Box<dyn Architecture>> {
        let info = model.info();
        if let Some(part) = ["bn.weight", "dsbn.bns.0.weight", "batch_encoder.embedding.weight"]
            .into_iter()
            .find(|n| weights.info(n).is_some())
        {
            return Err(Error::unsupported("a checkpoint with batch labels or batch norms cannot be trained further")
                .at_key(part));
        }
        Ok(Box::new(ScGptShape {
            n_blocks: info.n_blocks,
            d_model: info.d_model,
            n_heads: info.n_heads,
            d_mlp: info.d_mlp,
            vocab_size: info.d_vocab,
        }))
    }

    fn objective(&self, _model: &dyn Model, asked: Asked) -> Result<Objective> {
        Ok(match asked {
            Asked::Classification => Objective::MaskedBins { mask: MASK, n: N_BINS },
            _ => Objective::MaskedValues { mask: MASK },
        })
    }

    fn spellings(&self, name: &str) -> Vec<String> {
        let torch = name.replace("self_attn.Wqkv.", "self_attn.in_proj_");
        let wrapped = name.replace("self_attn.", "self_attn._impl.");
        [name, torch.as_str(), wrapped.as_str()]
            .iter()
            .flat_map(|n| [(*n).to_string(), format!("module.{n}")])
            .collect()
    }

    /// The one-class readout over `<cls>` is never trained; bins are read out beside the network, so that its own readouts are not.
    fn untrained(&self, asked: Asked) -> &'static [&'static str] {
        match asked {
            Asked::Classification => &["cls_decoder.", "decoder.", "mvc_decoder."],
            _ => &["cls_decoder."],
        }
    }

    fn last_file(&self) -> &'static str {
        "args.json"
    }
}
