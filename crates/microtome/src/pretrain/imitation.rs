//! What a family must say to be pretrained.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_models::{Dimensions, Model, ModelInfo, find_family};
use microtome_train::net::{Activation, Architecture, GptShape};
use microtome_train::pretrain::{Masking, Objective};
use microtome_weights::Checkpoint;
use serde::Serialize;

use super::families;
use super::vocabulary::Material;

/// What the network is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// Which genes were hidden.
    MaskedGenes,
    /// Which gene follows.
    NextGene,
    /// Which values were hidden, by squared error.
    Regression,
    /// Which bins of values were hidden, by cross entropy.
    Classification,
}

impl Asked {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::MaskedGenes => "masked-genes",
            Self::NextGene => "next-gene",
            Self::Regression => "regression",
            Self::Classification => "classification",
        }
    }
}

/// A family that can be pretrained: one file in `families/`.
pub(crate) trait Imitation: Sync {
    /// Id of the family.
    fn family(&self) -> &'static str;
    /// What its network can be asked, the published way first.
    fn asks(&self) -> &'static [Asked];
    /// What is hidden when the user does not say how much.
    fn masking(&self) -> Masking;
    /// Writes an untrained checkpoint over the genes of the data.
    fn begin(&self, size: Dimensions, material: &Material<'_>, seed: u64, out: &Path) -> Result<()>;
    /// Writes an untrained checkpoint of an own size over the published dictionaries of a folder. Errors where the family has no such way.
    fn begin_over(&self, _like: &Path, _size: Dimensions, _seed: u64, _out: &Path) -> Result<()> {
        Err(Error::unsupported("this family takes published dictionaries with a published size only")
            .at_key("--like")
            .found(self.family())
            .remedy(
                "name a published size with --preset, or leave out --like to make the vocabulary of the data",
            ))
    }
    /// The network of an opened checkpoint. Errors when it has a part that cannot be trained.
    fn architecture(&self, model: &dyn Model, weights: &Checkpoint) -> Result<Box<dyn Architecture>>;
    /// The question in the model's own tokens and values.
    fn objective(&self, model: &dyn Model, asked: Asked) -> Result<Objective>;
    /// Names under which a published file may keep a tensor, the network's own first.
    fn spellings(&self, name: &str) -> Vec<String> {
        vec![name.to_string()]
    }
    /// Beginnings of names of tensors that this way of training leaves untrained, and that are not exported therefore.
    fn untrained(&self, _asked: Asked) -> &'static [&'static str] {
        &[]
    }
    /// The file without which a folder is not taken for a checkpoint: it is written last.
    fn last_file(&self) -> &'static str {
        "config.json"
    }
}

/// The family called `id`, when it can be pretrained.
pub(crate) fn find(id: &str) -> Result<&'static dyn Imitation> {
    if let Some(found) = families::ALL.iter().find(|i| i.family() == id) {
        return Ok(*found);
    }
    find_family(id)?;
    let known = families();
    let near = closest(id, known.iter().copied());
    let e = Error::unsupported("this family cannot be pretrained")
        .expected(format!("one of: {}", known.join(", ")))
        .found(id.to_string());
    Err(match near {
        Some(near) => e.remedy(format!("did you mean {near}?")),
        None => e,
    })
}

/// What is asked: the published way, or the user's choice of those that the family has.
pub(crate) fn asked(imitation: &dyn Imitation, wanted: Option<Asked>) -> Result<Asked> {
    let there = imitation.asks();
    match wanted {
        None => Ok(there[0]),
        Some(a) if there.contains(&a) => Ok(a),
        Some(a) => Err(Error::usage("this family's network cannot be asked that")
            .at_key("--objective")
            .expected(there.iter().map(|a| a.word()).collect::<Vec<_>>().join(" or "))
            .found(a.word())),
    }
}

/// Ids of the families that can be pretrained.
pub(crate) fn families() -> Vec<&'static str> {
    families::ALL.iter().map(|i| i.family()).collect()
}

/// The network of the families that are a GPT-2.
pub(super) fn gpt_shape(info: &ModelInfo, prefix: &str, activation: Activation) -> Result<GptShape> {
    let eps = info.choices.get("layer_norm_eps").and_then(serde_json::Value::as_str).unwrap_or_default();
    let eps = eps.parse().map_err(|_| {
        Error::unsupported("this choice of the model cannot be trained").at_key("layer_norm_eps").found(eps)
    })?;
    Ok(GptShape {
        prefix: prefix.into(),
        n_blocks: info.n_blocks,
        d_model: info.d_model,
        n_heads: info.n_heads,
        d_mlp: info.d_mlp,
        max_positions: info.max_tokens,
        vocab_size: info.d_vocab,
        eps,
        activation,
    })
}
