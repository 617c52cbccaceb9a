//! Untrained models: Hugging Face's initialisation of BERT, which the published modules take over.

use std::path::Path;

use microtome_core::Result;

use super::card::VARIANTS;
use super::config::{Config, DICTIONARIES};
use super::network::TABLES;
use crate::hugging_face::{copy_into, create, folder_of, write_config};
use crate::nn::bert;
use crate::tokenize::rank_files::{self, DictionaryFiles};
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::untrained::{self, Plan};

/// Writes an untrained model of the published size over the dictionaries of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = untrained::preset("sccello", VARIANTS, preset)?;
    let dictionaries = rank_files::find(&folder_of(like), None, &DICTIONARIES)?;
    let vocab_size = RankVocabulary::read(&dictionaries)?.with_cls().len();
    write(&Config::of_variant(variant, vocab_size), &dictionaries, seed, out)
}

/// Writes an untrained model of the same configuration and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let folder = folder_of(of);
    let config = Config::read(&folder.join("config.json"))?;
    let dictionaries = rank_files::find(&folder, Some(config.bert.vocab_size), &DICTIONARIES)?;
    write(&config, &dictionaries, seed, out)
}

fn write(config: &Config, dictionaries: &DictionaryFiles, seed: u64, out: &Path) -> Result<()> {
    create(out)?;
    copy_into(dictionaries.all(), out)?;
    let d = config.bert.d_model;
    let mut plan = Plan::default();
    // The table of expression bins declares its only row as padding.
    bert::add_embedding(&mut plan, "bert.", &config.bert, &TABLES.map(|t| (t, 1)), &TABLES[2..]);
    bert::add_blocks(&mut plan, "bert.", &config.bert);
    for head in ["cls", "cell_cls"] {
        let p = format!("{head}.predictions");
        bert::add_linear(&mut plan, &format!("{p}.dense_1"), d, d);
        bert::add_norm(&mut plan, &format!("{p}.layer_norm"), d);
        bert::add_linear(&mut plan, &format!("{p}.dense_2"), d, d);
    }
    plan.write_safetensors(seed, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}
