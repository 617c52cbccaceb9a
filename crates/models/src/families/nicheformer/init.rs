//! Untrained models as torch initialises them: Xavier-uniform attention inputs, uniform linear maps, standard normal tables; written
//! in the Hugging Face layout.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_weights::npy;

use super::config::{Config, FIRST_GENE};
use super::model::{folder_of, parts};
use super::presets::VARIANTS;
use super::vocabulary::{MEANS, Means, Vocabulary};
use crate::Dimensions;
use crate::dimensions::write_text;
use crate::hugging_face::{copy_into, create, write_config};
use crate::untrained::{Kind, Plan};

/// Writes an untrained model of a published size over the gene list (and technology means) of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of nicheformer")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let folder = folder_of(like);
    let vocabulary = Vocabulary::read(&folder)?;
    write(&Config::of_variant(variant, vocabulary.genes.len()), &vocabulary, &folder, seed, out)
}

/// Writes an untrained model of the same dimensions, gene list and technology means as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let (_, config) = parts(of)?;
    let folder = folder_of(of);
    let vocabulary = Vocabulary::read(&folder)?;
    vocabulary.check(config.n_genes())?;
    write(&config, &vocabulary, &folder, seed, out)
}

/// Writes a whole small checkpoint folder: untrained weights over these Ensembl ids with the published special tokens and the mean of
/// every gene (per 10,000 counts, over the cells in which it is found) as the mean of dissociated cells. Errors when the size is
/// impossible, a gene is named twice, or `out` holds a model already.
pub fn write_untrained(size: Dimensions, genes: &[(String, f64)], seed: u64, out: &Path) -> Result<()> {
    size.check()?;
    let vocabulary = Vocabulary::of_genes(genes.iter().map(|(id, _)| id.clone()).collect(), out)?;
    let config = Config {
        n_blocks: size.layers,
        d_model: size.d,
        n_heads: size.heads,
        d_mlp: size.ffn,
        context_length: size.max_tokens,
        n_tokens: FIRST_GENE + genes.len(),
    };
    create(out)?;
    let means: Vec<f64> = genes.iter().map(|(_, mean)| *mean).collect();
    npy::write(&out.join(format!("dissociated{MEANS}")), &[means.len()], &means)?;
    write_model(&config, &vocabulary, seed, out)
}

fn write(config: &Config, vocabulary: &Vocabulary, like: &Path, seed: u64, out: &Path) -> Result<()> {
    create(out)?;
    copy_into(&Means::read(like, config.n_genes())?.files, out)?;
    write_model(config, vocabulary, seed, out)
}

/// `config.json` comes last: a folder without it is not taken for a checkpoint.
fn write_model(config: &Config, vocabulary: &Vocabulary, seed: u64, out: &Path) -> Result<()> {
    write_text(&out.join("vocab.json"), &format!("{:#}\n", vocabulary.to_json()))?;
    tensors(config).write_safetensors(seed, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}

/// Every tensor that is run, by its published name.
fn tensors(c: &Config) -> Plan {
    let (d, f) = (c.d_model, c.d_mlp);
    let mut plan = Plan::default();
    let bound = |n: usize| Kind::Uniform(1.0 / (n as f32).sqrt());
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize| {
        plan.add(format!("{name}.weight"), &[n_out, n_in], bound(n_in));
        plan.add(format!("{name}.bias"), &[n_out], bound(n_in));
    };
    let normal = Kind::Normal { mean: 0.0, sd: 1.0 };
    plan.add("nicheformer.embeddings.weight".into(), &[c.n_rows(), d], normal);
    plan.add("nicheformer.positional_embedding.weight".into(), &[c.context_length, d], normal);
    for i in 0..c.n_blocks {
        let b = format!("nicheformer.encoder.layers.{i}");
        let xavier = Kind::Uniform((6.0 / (4 * d) as f32).sqrt());
        plan.add(format!("{b}.self_attn.in_proj_weight"), &[3 * d, d], xavier);
        plan.add(format!("{b}.self_attn.in_proj_bias"), &[3 * d], Kind::Constant(0.0));
        plan.add(format!("{b}.self_attn.out_proj.weight"), &[d, d], bound(d));
        plan.add(format!("{b}.self_attn.out_proj.bias"), &[d], Kind::Constant(0.0));
        linear(&mut plan, &format!("{b}.linear1"), f, d);
        linear(&mut plan, &format!("{b}.linear2"), d, f);
        for norm in ["norm1", "norm2"] {
            plan.add(format!("{b}.{norm}.weight"), &[d], Kind::Constant(1.0));
            plan.add(format!("{b}.{norm}.bias"), &[d], Kind::Constant(0.0));
        }
    }
    linear(&mut plan, "classifier_head", c.n_tokens, d);
    plan
}
