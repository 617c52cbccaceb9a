//! Untrained models with GPT-2's initialisation, written as a folder with `model.safetensors` under the published names and a
//! `config.json` that states what the published container does.

use std::path::Path;

use microtome_core::Result;
use microtome_weights::Checkpoint;

use super::card::VARIANTS;
use super::config::Config;
use super::meta::Meta;
use super::model::{config_of, weights_file};
use crate::hugging_face::{copy_into, create, folder_of, write_config};
use crate::nn::gpt::untrained::NORMAL;
use crate::nn::gpt::{Gpt, GptLayout};
use crate::untrained::{Plan, preset};

/// Writes an untrained model of the code's default size over the vocabulary of `like`.
pub(super) fn init_preset(id: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = preset("scmulan", VARIANTS, id)?;
    write(&Config::of_variant(variant), like, seed, out)
}

/// Writes an untrained model of the same dimensions and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let config = config_of(&Checkpoint::open(&weights_file(of)?)?, &folder_of(of))?;
    write(&config, of, seed, out)
}

fn write(config: &Config, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let (meta, meta_path) = Meta::read(&folder_of(like))?;
    let config = Config { vocab_size: meta.tokens.len(), ..config.clone() };
    create(out)?;
    copy_into([&meta_path], out)?;
    let (d, vocabulary) = (config.shape.d_model, config.vocab_size);
    let mut plan = Plan::default();
    plan.add("transformer.wte.weight".into(), &[vocabulary, d], NORMAL);
    plan.add("transformer.wee.weight".into(), &[config.n_levels + 1, d], NORMAL);
    Gpt::plan(&mut plan, "transformer.", &config.shape, GptLayout::Linear);
    plan.add("lm_head.weight".into(), &[vocabulary, d], NORMAL);
    plan.add("epx_head.weight".into(), &[vocabulary, d], NORMAL);
    plan.write_safetensors(seed, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}
