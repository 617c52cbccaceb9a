//! Untrained models: Hugging Face's initialisation of BERT, and torch's of a linear layer for the projection.

use std::path::Path;

use microtome_core::Result;
use microtome_kernels::Activation;
use microtome_weights::Checkpoint;
use serde_json::json;

use super::card::VARIANTS;
use super::files::{self, Config, DICTIONARIES, TOWER};
use crate::hugging_face::{copy_into, create, folder_of, write_config};
use crate::nn::bert::{self, BertConfig};
use crate::tokenize::rank_files::{self, DictionaryFiles};
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::untrained::{self, Kind, Plan};

/// Width of the published projection.
const PROJECTED: usize = 256;

/// Writes an untrained model of the published size over the dictionaries of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = untrained::preset("langcell", VARIANTS, preset)?;
    let folder = files::root_of(like).unwrap_or_else(|| folder_of(like));
    let dictionaries = rank_files::find(&folder, None, &DICTIONARIES)?;
    let vocab_size = RankVocabulary::read(&dictionaries)?.with_cls().len();
    let bert = BertConfig { vocab_size, ..BertConfig::of_variant(variant, variant.max_tokens, Activation::Relu) };
    write(&Config { bert, type_vocab_size: 2 }, PROJECTED, &dictionaries, seed, out)
}

/// Writes an untrained model of the same configuration and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let (files, config) = files::find(of)?;
    let projection = Checkpoint::open(&files.projection)?;
    let width = projection.info("bias").and_then(|i| i.shape.first().copied()).unwrap_or(PROJECTED);
    write(&config, width, &files.dictionaries, seed, out)
}

fn write(config: &Config, projected: usize, dictionaries: &DictionaryFiles, seed: u64, out: &Path) -> Result<()> {
    let tower = out.join(TOWER);
    create(&tower)?;
    copy_into(dictionaries.all(), out)?;
    let mut plan = Plan::default();
    bert::add_embedding(&mut plan, "", &config.bert, &[("token_type_embeddings", config.type_vocab_size)], &[]);
    bert::add_blocks(&mut plan, "", &config.bert);
    plan.write_safetensors(seed, &tower.join("model.safetensors"))?;
    let bound = Kind::Uniform(1.0 / (config.bert.d_model as f32).sqrt());
    let mut projection = Plan::default();
    projection.add("weight".into(), &[projected, config.bert.d_model], bound);
    projection.add("bias".into(), &[projected], bound);
    // The name is the published one; what is inside, every reader here tells by its first bytes.
    projection.write_safetensors(seed.wrapping_add(1), &out.join(files::PROJECTION))?;
    let own = json!({ "architectures": ["BertModel"], "type_vocab_size": config.type_vocab_size });
    write_config(&config.bert.to_json(own), &tower)
}
