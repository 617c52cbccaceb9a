//! Untrained models with GPT-2's initialisation, written as a folder with `model.safetensors` under the published names, a file of
//! parameters, and the vocabulary and reference of another model.

use std::path::Path;

use microtome_core::{Error, Result};

use super::card::VARIANTS;
use super::config::{Config, read_vocabulary};
use super::files::Files;
use crate::hugging_face::{copy_into, create, folder_of};
use crate::nn::gpt::lm::GptLm;
use crate::untrained::{Plan, preset};

const PARAMS: &str = "untrained.param_config.json";

/// Writes an untrained model of a published size over the vocabulary of `like`.
pub(super) fn init_preset(id: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = preset("generain", VARIANTS, id)?;
    let files = Files::find(&folder_of(like))?;
    // Which genes the vocabulary is of stays what it is.
    let genes = Config::read(&files.params).map_or_else(|_| "not stated".into(), |c| c.genes);
    write(&Config { genes, ..Config::of_variant(variant) }, &files, seed, out)
}

/// Writes an untrained model of the same dimensions and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let files = Files::find(&folder_of(of))?;
    write(&Config::read(&files.params)?, &files, seed, out)
}

/// The file of parameters comes last: a folder without it is not taken for a checkpoint.
fn write(config: &Config, files: &Files, seed: u64, out: &Path) -> Result<()> {
    if out.join(PARAMS).exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    create(out)?;
    let vocabulary = read_vocabulary(&files.vocabulary)?.len();
    copy_into(&files.all()[1..], out)?;
    let mut plan = Plan::default();
    let prefix = "gene_expr_transformer.gpt.transformer.";
    GptLm::plan(&mut plan, prefix, vocabulary, config.n_positions, &config.shape);
    plan.write_safetensors(seed, &out.join("model.safetensors"))?;
    let path = out.join(PARAMS);
    std::fs::write(&path, format!("{:#}\n", config.to_json()))
        .map_err(|e| Error::output("cannot write the parameters").in_file(&path).caused_by(e))
}
