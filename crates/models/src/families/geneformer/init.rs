//! Untrained models: the initialisation of Hugging Face's `BertPreTrainedModel` (normal with standard deviation 0.02 for
//! linear and embedding weights, zero biases, unit norms, zero row for the padding token), written as an ordinary
//! checkpoint folder.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_kernels::Activation;
use microtome_weights::{
    TensorData, write_safetensors, write_str_float_dict, write_str_int_dict, write_str_str_dict,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

use super::config::Config;
use super::dictionaries::{self, DictionaryFiles};
use super::presets::{Generation, VARIANTS, generation_of_size};
use super::vocabulary::Vocabulary;

const STANDARD_DEVIATION: f32 = 0.02;

/// Dimensions of a model that is not of a published size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneformerShape {
    /// Blocks.
    pub layers: usize,
    /// Residual width.
    pub d: usize,
    /// Attention heads; must divide `d`.
    pub heads: usize,
    /// Feed-forward width.
    pub ffn: usize,
    /// Longest input in tokens, special tokens included.
    pub max_tokens: usize,
}

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
    let specials: &[&str] = match generation {
        Generation::V1 => &["<pad>", "<mask>"],
        Generation::V2 => &["<pad>", "<mask>", "<cls>", "<eos>"],
    };
    let config = Config {
        n_blocks: shape.layers,
        d_model: shape.d,
        n_heads: shape.heads,
        d_mlp: shape.ffn,
        max_tokens: shape.max_tokens,
        vocab_size: specials.len() + genes.len(),
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        activation: Activation::Relu,
        classifier: false,
    };
    check_shape(&config)?;
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

/// Writes an untrained model of a published size over the dictionaries of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of geneformer")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let folder = dictionaries::folder_of(like);
    // A checkpoint folder says which dictionaries are its own; a bare vocabulary folder holds one set.
    let size = Config::read(&folder.join("config.json")).ok().map(|c| c.vocab_size);
    let files = dictionaries::find(&folder, size)?;
    let vocabulary = Vocabulary::read(&files)?;
    if generation_of_size(variant.d_vocab) != Some(vocabulary.generation) {
        return Err(Error::mismatch("the preset is of another generation than the dictionaries")
            .in_file(&files.tokens)
            .expected(format!(
                "{} dictionaries for {preset}",
                generation_of_size(variant.d_vocab).map_or("other", Generation::name)
            ))
            .found(format!("{} dictionaries ({} entries)", vocabulary.generation.name(), vocabulary.len()))
            .remedy("choose a preset of that generation, or point to the other dictionaries"));
    }
    let config = Config { vocab_size: vocabulary.len(), ..Config::of_variant(variant) };
    create(out)?;
    copy(&files, out)?;
    write_model(&config, seed, out)
}

/// Writes an untrained model of the same configuration and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let folder = dictionaries::folder_of(of);
    let config = Config::read(&folder.join("config.json"))?;
    let files = dictionaries::find(&folder, Some(config.vocab_size))?;
    create(out)?;
    copy(&files, out)?;
    write_model(&config, seed, out)
}

fn check_genes(genes: &[GeneformerGene]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for g in genes {
        if !seen.insert(g.ensembl_id.to_uppercase()) || g.ensembl_id.is_empty() || g.ensembl_id.starts_with('<') {
            return Err(Error::usage("the genes of a vocabulary need distinct names").found(g.ensembl_id.clone()));
        }
        if !(g.median.is_finite() && g.median > 0.0) {
            return Err(Error::usage("a gene median must be positive")
                .at_key(g.ensembl_id.clone())
                .found(g.median.to_string()));
        }
    }
    if genes.is_empty() { Err(Error::usage("a vocabulary needs genes")) } else { Ok(()) }
}

fn check_shape(c: &Config) -> Result<()> {
    let dims = [c.n_blocks, c.d_model, c.n_heads, c.d_mlp];
    if dims.contains(&0) || c.max_tokens < 3 || !c.d_model.is_multiple_of(c.n_heads) {
        return Err(Error::usage("not a possible shape of a model")
            .expected("positive dimensions, at least 3 tokens, heads that divide the width")
            .found(format!("{dims:?} (blocks, width, heads, feed-forward), {} tokens", c.max_tokens)));
    }
    Ok(())
}

fn create(out: &Path) -> Result<()> {
    if out.join("config.json").exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    std::fs::create_dir_all(out).map_err(|e| Error::output("cannot make the folder").in_file(out).caused_by(e))
}

fn copy(files: &DictionaryFiles, out: &Path) -> Result<()> {
    let all = [Some(&files.tokens), Some(&files.medians), files.mapping.as_ref(), files.names.as_ref()];
    for file in all.into_iter().flatten() {
        let target = out.join(file.file_name().unwrap_or_default());
        // Read and write rather than copy: the copy must be writable even when the source is not.
        let bytes = std::fs::read(file)
            .map_err(|e| Error::unreadable("cannot read the dictionary").in_file(file).caused_by(e))?;
        std::fs::write(&target, bytes)
            .map_err(|e| Error::output("cannot write the dictionary").in_file(&target).caused_by(e))?;
    }
    Ok(())
}

/// `config.json` comes last: a folder without it is not taken for a checkpoint.
fn write_model(config: &Config, seed: u64, out: &Path) -> Result<()> {
    let drawn: Vec<(String, Vec<usize>, Vec<f32>)> = tensors(config)
        .into_par_iter()
        .enumerate()
        .map(|(stream, (name, shape, kind))| Ok((name, shape.clone(), kind.values(&shape, seed, stream as u64)?)))
        .collect::<Result<_>>()?;
    let tensors: Vec<(String, Vec<usize>, TensorData<'_>)> =
        drawn.iter().map(|(n, shape, values)| (n.clone(), shape.clone(), TensorData::F32(values))).collect();
    write_safetensors(&out.join("model.safetensors"), &tensors, &[("format".into(), "pt".into())])?;
    let path = out.join("config.json");
    let text = format!("{:#}\n", config.to_json());
    std::fs::write(&path, text).map_err(|e| Error::output("cannot write the configuration").in_file(&path).caused_by(e))
}

#[derive(Clone, Copy)]
enum Kind {
    Normal,
    /// Normal, but row 0 (padding) is zero.
    WordTable,
    Zero,
    One,
}

impl Kind {
    fn values(self, shape: &[usize], seed: u64, stream: u64) -> Result<Vec<f32>> {
        let n = shape.iter().product();
        let mut values = match self {
            Self::Zero => vec![0.0; n],
            Self::One => vec![1.0; n],
            Self::Normal | Self::WordTable => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(stream);
                let normal = Normal::new(0.0f32, STANDARD_DEVIATION)
                    .map_err(|e| Error::usage("cannot draw weights").caused_by(e))?;
                normal.sample_iter(&mut rng).take(n).collect()
            }
        };
        if let (Self::WordTable, [_, d]) = (self, shape) {
            values[..*d].fill(0.0);
        }
        Ok(values)
    }
}

/// Every tensor of `BertForMaskedLM` with a tied decoder, by its published name.
fn tensors(c: &Config) -> Vec<(String, Vec<usize>, Kind)> {
    let (d, f) = (c.d_model, c.d_mlp);
    let mut out: Vec<(String, Vec<usize>, Kind)> = vec![];
    fn linear(out: &mut Vec<(String, Vec<usize>, Kind)>, name: &str, n_out: usize, n_in: usize) {
        out.push((format!("{name}.weight"), vec![n_out, n_in], Kind::Normal));
        out.push((format!("{name}.bias"), vec![n_out], Kind::Zero));
    }
    fn norm(out: &mut Vec<(String, Vec<usize>, Kind)>, name: &str, d: usize) {
        out.push((format!("{name}.weight"), vec![d], Kind::One));
        out.push((format!("{name}.bias"), vec![d], Kind::Zero));
    }
    let e = "bert.embeddings";
    out.push((format!("{e}.word_embeddings.weight"), vec![c.vocab_size, d], Kind::WordTable));
    out.push((format!("{e}.position_embeddings.weight"), vec![c.max_tokens, d], Kind::Normal));
    out.push((format!("{e}.token_type_embeddings.weight"), vec![c.type_vocab_size, d], Kind::Normal));
    norm(&mut out, &format!("{e}.LayerNorm"), d);
    for i in 0..c.n_blocks {
        let b = format!("bert.encoder.layer.{i}");
        for part in ["query", "key", "value"] {
            linear(&mut out, &format!("{b}.attention.self.{part}"), d, d);
        }
        linear(&mut out, &format!("{b}.attention.output.dense"), d, d);
        norm(&mut out, &format!("{b}.attention.output.LayerNorm"), d);
        linear(&mut out, &format!("{b}.intermediate.dense"), f, d);
        linear(&mut out, &format!("{b}.output.dense"), d, f);
        norm(&mut out, &format!("{b}.output.LayerNorm"), d);
    }
    out.push(("cls.predictions.bias".into(), vec![c.vocab_size], Kind::Zero));
    linear(&mut out, "cls.predictions.transform.dense", d, d);
    norm(&mut out, "cls.predictions.transform.LayerNorm", d);
    out
}
