//! Untrained models: the initialisation of Hugging Face's `BertPreTrainedModel` (normal with standard deviation 0.02 for
//! linear and embedding weights, zero biases, unit norms, zero row for the padding token), written as an ordinary
//! checkpoint folder.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use microtome_weights::{write_str_float_dict, write_str_int_dict, write_str_str_dict};

use super::config::Config;
use crate::dimensions::check_names;
pub use crate::dimensions::Dimensions as GeneformerShape;
use super::presets::{Generation, PUBLISHED, VARIANTS, generation_of_size};
use crate::hugging_face::{copy_into, create, folder_of, write_config};
use crate::nn::bert::{self, BertConfig};
use crate::tokenize::rank_files;
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::untrained::{self, Plan};

/// A gene of a vocabulary that is made up for a small model.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneformerGene {
    /// Ensembl id.
    pub ensembl_id: String,
    /// Symbol, where there is one.
    pub symbol: Option<String>,
    /// Non-zero median of `count / total * 10000` over cells, positive.
    pub median: f64,
}

/// Writes a whole small checkpoint folder: untrained weights of `shape` over the vocabulary `genes`, and its dictionaries
/// under their plain names. Errors when a gene is named twice, a median is not positive, or `out` holds a model already.
pub fn write_untrained(
    generation: Generation,
    shape: GeneformerShape,
    genes: &[GeneformerGene],
    seed: u64,
    out: &Path,
) -> Result<()> {
    check_genes(genes)?;
    shape.check()?;
    let specials: &[&str] = match generation {
        Generation::V1 => &["<pad>", "<mask>"],
        Generation::V2 => &["<pad>", "<mask>", "<cls>", "<eos>"],
    };
    let config = config_of(shape, specials.len() + genes.len());
    create(out)?;
    let names = specials.iter().map(|s| (*s).to_string()).chain(genes.iter().map(|g| g.ensembl_id.clone()));
    let tokens: Vec<(String, i64)> = names.zip(0..).collect();
    let medians: Vec<(String, f64)> = genes.iter().map(|g| (g.ensembl_id.clone(), g.median)).collect();
    let mapping: Vec<(String, String)> =
        genes.iter().map(|g| (g.ensembl_id.to_uppercase(), g.ensembl_id.clone())).collect();
    let symbols: Vec<(String, String)> =
        genes.iter().filter_map(|g| g.symbol.clone().map(|s| (s, g.ensembl_id.clone()))).collect();
    write_str_int_dict(&out.join("token_dictionary.pkl"), &tokens)?;
    write_str_float_dict(&out.join("gene_median_dictionary.pkl"), &medians)?;
    write_str_str_dict(&out.join("ensembl_mapping_dict.pkl"), &mapping)?;
    write_str_str_dict(&out.join("gene_name_id_dict.pkl"), &symbols)?;
    write_model(&config, seed, out)
}

/// Writes untrained weights of `shape` over the published dictionaries of the folder `like`, which are copied beside them.
///
/// # Errors
/// When the shape is not possible, `like` holds no dictionaries, or `out` holds a model already.
pub fn write_untrained_over(like: &Path, shape: GeneformerShape, seed: u64, out: &Path) -> Result<()> {
    let (files, vocabulary, _) = dictionaries(like)?;
    shape.check()?;
    let config = config_of(shape, vocabulary.len());
    create(out)?;
    copy_into(files.all(), out)?;
    write_model(&config, seed, out)
}

/// Writes an untrained model of a published size over the dictionaries of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = untrained::preset("geneformer", VARIANTS, preset)?;
    let (files, vocabulary, generation) = dictionaries(like)?;
    if generation_of_size(variant.d_vocab) != Some(generation) {
        return Err(Error::mismatch("the preset is of another generation than the dictionaries")
            .in_file(&files.tokens)
            .expected(format!(
                "{} dictionaries for {preset}",
                generation_of_size(variant.d_vocab).map_or("other", Generation::name)
            ))
            .found(format!("{} dictionaries ({} entries)", generation.name(), vocabulary.len()))
            .remedy("choose a preset of that generation, or point to the other dictionaries"));
    }
    let mut config = Config::of_variant(variant);
    config.bert.vocab_size = vocabulary.len();
    create(out)?;
    copy_into(files.all(), out)?;
    write_model(&config, seed, out)
}

/// The dictionaries of a folder: a checkpoint folder says which are its own; a bare vocabulary folder holds one set.
fn dictionaries(like: &Path) -> Result<(rank_files::DictionaryFiles, RankVocabulary, Generation)> {
    let folder = folder_of(like);
    let size = Config::read(&folder.join("config.json")).ok().map(|c| c.bert.vocab_size);
    let files = rank_files::find(&folder, size, &PUBLISHED)?;
    let vocabulary = RankVocabulary::read(&files)?;
    let generation = Generation::of(&vocabulary).map_err(|e| e.in_file(&files.tokens))?;
    Ok((files, vocabulary, generation))
}

/// Writes an untrained model of the same configuration and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let folder = folder_of(of);
    let config = Config::read(&folder.join("config.json"))?;
    let files = rank_files::find(&folder, Some(config.bert.vocab_size), &PUBLISHED)?;
    create(out)?;
    copy_into(files.all(), out)?;
    write_model(&config, seed, out)
}

fn check_genes(genes: &[GeneformerGene]) -> Result<()> {
    let names: Vec<String> = genes.iter().map(|g| g.ensembl_id.to_uppercase()).collect();
    check_names(names.iter().map(String::as_str))?;
    match genes.iter().find(|g| !(g.median.is_finite() && g.median > 0.0)) {
        Some(g) => Err(Error::usage("a gene median must be positive")
            .at_key(g.ensembl_id.clone())
            .found(g.median.to_string())),
        None => Ok(()),
    }
}

fn config_of(shape: GeneformerShape, vocab_size: usize) -> Config {
    let bert = BertConfig {
        n_blocks: shape.layers,
        d_model: shape.d,
        n_heads: shape.heads,
        d_mlp: shape.ffn,
        max_positions: shape.max_tokens,
        vocab_size,
        layer_norm_eps: 1e-12,
        activation: Activation::Relu,
    };
    Config { bert, type_vocab_size: 2, classifier: false }
}

/// `config.json` comes last: a folder without it is not taken for a checkpoint.
fn write_model(config: &Config, seed: u64, out: &Path) -> Result<()> {
    tensors(config).write_safetensors(seed, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}

/// Every tensor of `BertForMaskedLM` with a tied decoder, by its published name.
fn tensors(c: &Config) -> Plan {
    let mut plan = Plan::default();
    bert::add_embedding(&mut plan, "bert.", &c.bert, &[("token_type_embeddings", c.type_vocab_size)], &[]);
    bert::add_blocks(&mut plan, "bert.", &c.bert);
    bert::add_masked_head(&mut plan, "cls.predictions", &c.bert);
    plan
}
