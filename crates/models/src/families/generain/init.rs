//! Untrained models with GPT-2's initialisation, written as a folder with `model.safetensors` under the published names, a file of
//! parameters, and the vocabulary and reference of another model.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use microtome_weights::npy;

use super::card::VARIANTS;
use super::config::{Config, WIDER, read_vocabulary};
use super::files::Files;
use crate::hugging_face::{copy_into, create, folder_of};
use crate::Dimensions;
use crate::dimensions::{check_names, write_text};
use crate::nn::gpt::GptShape;
use crate::nn::gpt::lm::GptLm;
use crate::untrained::{Plan, preset};

const PARAMS: &str = "model.param_config.json";

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

/// Expression of a sample of cells, by which cells are binned gene by gene.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// Symbols, without white space.
    pub genes: &'a [String],
    /// [`super::expression`], `[cell, gene]`.
    pub values: &'a [f32],
}

/// Writes a whole small checkpoint folder: untrained weights over the genes of a reference, and the reference. The feed-forward part is
/// four times as wide as the stream in this family, whatever the size says. Errors when the size is impossible, a gene is named twice,
/// or `out` holds a model already.
pub fn write_untrained(size: Dimensions, reference: Reference<'_>, seed: u64, out: &Path) -> Result<()> {
    size.check()?;
    let genes = reference.genes;
    check_names(genes.iter().map(String::as_str))?;
    if let Some(gene) = genes.iter().find(|g| g.contains(char::is_whitespace)) {
        return Err(Error::usage("a symbol of this family's reference cannot hold white space").found(gene.clone()));
    }
    let shape = GptShape {
        n_blocks: size.layers,
        d_model: size.d,
        n_heads: size.heads,
        d_mlp: WIDER * size.d,
        eps: 1e-10,
        activation: Activation::GeluErf,
        bias: true,
    };
    let config = Config { shape, n_positions: size.max_tokens, genes: "own".into() };
    refuse_model(out)?;
    create(out)?;
    let ids: serde_json::Map<String, serde_json::Value> =
        genes.iter().zip(0u32..).map(|(n, id)| (n.clone(), id.into())).collect();
    write_text(&out.join("own_gene_to_idx.json"), &format!("{:#}\n", serde_json::Value::Object(ids)))?;
    let n = reference.values.len() / genes.len();
    npy::write(&out.join("own_subsampled.npy"), &[n, genes.len()], reference.values)?;
    write_text(&out.join("own_subsampled.gene_symbols.txt"), &format!("{}\n", genes.join("\n")))?;
    write_model(&config, genes.len(), seed, out)
}

fn refuse_model(out: &Path) -> Result<()> {
    if !out.join(PARAMS).exists() {
        return Ok(());
    }
    Err(Error::output("the folder holds a model already")
        .in_file(out)
        .remedy("name another folder, or remove that one"))
}

/// The file of parameters comes last: a folder without it is not taken for a checkpoint.
fn write(config: &Config, files: &Files, seed: u64, out: &Path) -> Result<()> {
    refuse_model(out)?;
    create(out)?;
    let vocabulary = read_vocabulary(&files.vocabulary)?.len();
    copy_into(&files.all()[1..], out)?;
    write_model(config, vocabulary, seed, out)
}

fn write_model(config: &Config, vocabulary: usize, seed: u64, out: &Path) -> Result<()> {
    let mut plan = Plan::default();
    let prefix = "gene_expr_transformer.gpt.transformer.";
    GptLm::plan(&mut plan, prefix, vocabulary, config.n_positions, &config.shape);
    plan.write_safetensors(seed, &out.join("model.safetensors"))?;
    let path = out.join(PARAMS);
    std::fs::write(&path, format!("{:#}\n", config.to_json()))
        .map_err(|e| Error::output("cannot write the parameters").in_file(&path).caused_by(e))
}
