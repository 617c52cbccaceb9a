//! Untrained models with GPT-2's initialisation, as a folder in the published layout.

use std::path::Path;

use microtome_core::Result;
use microtome_kernels::Activation;

use super::card::VARIANTS;
use super::config::Config;
use super::vocabulary::{Vocabulary, to_json};
use crate::hugging_face::{copy_into, create, folder_of, write_config};
use crate::Dimensions;
use crate::dimensions::write_text;
use crate::nn::gpt::GptShape;
use crate::nn::gpt::lm::GptLm;
use crate::untrained::{Plan, preset};

/// Writes an untrained model of a published size over the tokeniser of `like`.
pub(super) fn init_preset(id: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = preset("tgpt", VARIANTS, id)?;
    write(&Config::of_variant(variant), like, seed, out)
}

/// Writes an untrained model of the same dimensions and tokeniser as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    write(&Config::read(&folder_of(of).join("config.json"))?, of, seed, out)
}

/// Writes a whole small checkpoint folder: untrained weights over these symbols, in the spelling of the authors. Errors when the
/// size is impossible, there are no genes, or `out` holds a model already.
pub fn write_untrained(size: Dimensions, genes: &[String], seed: u64, out: &Path) -> Result<()> {
    size.check()?;
    let tokeniser = to_json(genes)?;
    create(out)?;
    let path = out.join("tokenizer.json");
    write_text(&path, &format!("{tokeniser:#}\n"))?;
    let shape = GptShape {
        n_blocks: size.layers,
        d_model: size.d,
        n_heads: size.heads,
        d_mlp: size.ffn,
        eps: 1e-5,
        activation: Activation::GeluTanh,
        bias: true,
    };
    let vocab_size = Vocabulary::read(&path)?.len();
    write_model(&Config { shape, n_positions: size.max_tokens, vocab_size }, seed, out)
}

fn write(config: &Config, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let tokeniser = folder_of(like).join("tokenizer.json");
    let config = Config { vocab_size: Vocabulary::read(&tokeniser)?.len(), ..config.clone() };
    create(out)?;
    copy_into([&tokeniser], out)?;
    write_model(&config, seed, out)
}

fn write_model(config: &Config, seed: u64, out: &Path) -> Result<()> {
    let mut plan = Plan::default();
    GptLm::plan(&mut plan, "transformer.", config.vocab_size, config.n_positions, &config.shape);
    plan.write_safetensors(seed, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}
