//! Untrained models: torch's own initialisation of every layer (embeddings standard normal, linear maps uniform in one over the root of their
//! inputs, norms one and zero), written as an ordinary checkpoint folder. The published `param_init_fn` is an option of training that no
//! released file records.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result, closest};
use microtome_kernels::Activation;
use microtome_weights::{Checkpoint, Loader};

use super::config::{COLLATOR_CONFIG, Config, MODEL_CONFIG, folder_of};
use super::presets::VARIANTS;
use super::vocabulary::Vocabulary;
use crate::nn::ReadoutActivation;
use crate::untrained::{Kind, Plan};
use crate::{Variant, yaml};

/// Writes an untrained model of a published size, without drug encoder, over the vocabulary of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant: &Variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of tahoe_x1")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let vocabulary = vocabulary_file(like);
    let config = Config { vocab_size: Vocabulary::count(&vocabulary)?, ..Config::of_variant(variant) };
    let files = vec![
        (MODEL_CONFIG, model_config(&config)),
        (COLLATOR_CONFIG, collator_config(variant.max_tokens)),
        ("vocab.json", read(&vocabulary)?),
    ];
    write(&config, None, files, seed, out)
}

/// Writes an untrained model of the same configuration, vocabulary and drugs as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let folder = folder_of(of);
    let config = Config::read(&folder.join(MODEL_CONFIG))?;
    let names = [COLLATOR_CONFIG, "vocab.json", MODEL_CONFIG];
    let mut files = names.iter().map(|&n| Ok((n, read(&folder.join(n))?))).collect::<Result<Vec<_>>>()?;
    let collator = super::config::Collator::read(&folder.join(COLLATOR_CONFIG))?;
    let drug_file = collator.drug_file.filter(|n| folder.join(n).is_file());
    if let Some(name) = &drug_file {
        files.insert(0, (name.as_str(), read(&folder.join(name))?));
    }
    let fingerprints = if config.drug_activation.is_some() { fingerprints(of, &folder)? } else { None };
    write(&config, fingerprints, files, seed, out)
}

/// Shape of the table of fingerprints of a checkpoint. The fingerprints themselves are chemistry, not training, but `init_twin` promises
/// nothing of the original's numbers, so they are drawn like any other table.
fn fingerprints(of: &Path, folder: &Path) -> Result<Option<[usize; 2]>> {
    let checkpoint = Checkpoint::open(&super::model::weights_file(of, folder)?)?;
    let loader = Loader::new(&checkpoint);
    let names = loader.names();
    let name = names.iter().find(|n| n.ends_with("chem_encoder.embedding.weight"));
    Ok(name.and_then(|n| match loader.shape(n) {
        Some(&[n, width]) => Some([n, width]),
        _ => None,
    }))
}

/// `vocab.json` of a folder, or the file itself.
fn vocabulary_file(like: &Path) -> PathBuf {
    let named = like.is_file() && like.extension().is_some_and(|e| e == "json");
    if named { like.to_path_buf() } else { folder_of(like).join("vocab.json") }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::unreadable("cannot read the file").in_file(path).caused_by(e))
}

/// `model_config.yml` comes last: a folder without it is not taken for a checkpoint.
fn write(
    config: &Config,
    fingerprints: Option<[usize; 2]>,
    mut files: Vec<(&str, Vec<u8>)>,
    seed: u64,
    out: &Path,
) -> Result<()> {
    if out.join(MODEL_CONFIG).exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    let failed =
        |what: &str, path: &Path, e: std::io::Error| Error::output(what.to_string()).in_file(path).caused_by(e);
    std::fs::create_dir_all(out).map_err(|e| failed("cannot make the folder", out, e))?;
    tensors(config, fingerprints).write_safetensors(seed, &out.join("model.safetensors"))?;
    files.sort_by_key(|(name, _)| *name == MODEL_CONFIG);
    for (name, bytes) in files {
        let path = out.join(name);
        std::fs::write(&path, bytes).map_err(|e| failed("cannot write the file", &path, e))?;
    }
    // What was written must read back as what was meant.
    yaml::read(&out.join(MODEL_CONFIG)).map(|_| ())
}

fn model_config(c: &Config) -> Vec<u8> {
    let activation = if c.activation == Activation::Relu { "relu" } else { "gelu" };
    let decoder = match c.decoder.activation {
        ReadoutActivation::LeakyRelu(_) => "leaky_relu",
        ReadoutActivation::Kernel(Activation::Relu) => "relu",
        ReadoutActivation::Kernel(_) => "gelu",
    };
    format!(
        "name: tahoe_x1\nd_model: {}\nn_layers: {}\nn_heads: {}\nexpansion_ratio: {}\nnorm_scheme: pre\ntransformer_activation: {activation}\n\
         use_glu: false\ncell_emb_style: cls\nattn_config:\n  attn_type: grouped_query_attention\n  kv_nheads: {}\nnorm_config:\n  \
         norm_type: layernorm\n  eps: 1.0e-05\nexpression_encoder:\n  input_emb_style: continuous\n  max_value: 512\n  activation: {activation}\n  \
         use_norm: true\ngene_encoder:\n  use_norm: true\nmvc:\n  arch_style: inner product\n  query_activation: sigmoid\n  \
         scaled_dot_product: true\nexpression_decoder:\n  n_outputs: 1\n  n_layers: 1\n  activation: {decoder}\nvocab_size: {}\n",
        c.d_model,
        c.n_blocks,
        c.n_heads,
        c.d_mlp / c.d_model,
        c.n_heads,
        c.vocab_size,
    )
    .into_bytes()
}

fn collator_config(max_tokens: usize) -> Vec<u8> {
    format!(
        "do_padding: true\npad_value: -2\npad_token_id: 0\nmask_value: -1\nmax_length: {max_tokens}\nsampling: true\ndo_binning: true\n\
         num_bins: 51\nright_binning: false\nkeep_first_n_tokens: 1\n"
    )
    .into_bytes()
}

/// Every tensor of a published file, by its name.
fn tensors(c: &Config, fingerprints: Option<[usize; 2]>) -> Plan {
    let (d, f) = (c.d_model, c.d_mlp);
    let mut plan = Plan::default();
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize| {
        let bound = 1.0 / (n_in as f32).sqrt();
        plan.add(format!("model.{name}.weight"), &[n_out, n_in], Kind::Uniform(bound));
        plan.add(format!("model.{name}.bias"), &[n_out], Kind::Uniform(bound));
    };
    let norm = |plan: &mut Plan, name: &str| {
        plan.add(format!("model.{name}.weight"), &[d], Kind::Constant(1.0));
        plan.add(format!("model.{name}.bias"), &[d], Kind::Constant(0.0));
    };
    let normal = Kind::Normal { mean: 0.0, sd: 1.0 };
    plan.add("model.gene_encoder.embedding.weight".into(), &[c.vocab_size, d], normal);
    if c.gene_norm {
        norm(&mut plan, "gene_encoder.enc_norm");
    }
    linear(&mut plan, "expression_encoder.linear1", d, 1);
    linear(&mut plan, "expression_encoder.linear2", d, d);
    if c.value_norm {
        norm(&mut plan, "expression_encoder.norm");
    }
    if let Some([n, width]) = fingerprints {
        plan.add("model.chem_encoder.embedding.weight".into(), &[n, width], normal);
        linear(&mut plan, "chem_encoder.fc", d, width);
        linear(&mut plan, "chem_encoder.proj", d, d);
        norm(&mut plan, "chem_encoder.norm");
    }
    for i in 0..c.n_blocks {
        let b = format!("transformer_encoder.layers.{i}");
        linear(&mut plan, &format!("{b}.self_attn.Wqkv"), 3 * d, d);
        linear(&mut plan, &format!("{b}.self_attn.out_proj"), d, d);
        linear(&mut plan, &format!("{b}.up_proj"), f, d);
        linear(&mut plan, &format!("{b}.down_proj"), d, f);
        norm(&mut plan, &format!("{b}.norm1"));
        norm(&mut plan, &format!("{b}.norm2"));
    }
    norm(&mut plan, "transformer_encoder.norm");
    for i in 0..c.decoder.n_layers {
        linear(&mut plan, &format!("expression_decoder.linear_layers.{i}"), d, d);
    }
    linear(&mut plan, "expression_decoder.out_proj", 1, d);
    if c.cell_query.is_some() {
        linear(&mut plan, "mvc_decoder.gene2query", d, d);
        plan.add("model.mvc_decoder.W.weight".into(), &[d, d], Kind::Uniform(1.0 / (d as f32).sqrt()));
    }
    plan
}
