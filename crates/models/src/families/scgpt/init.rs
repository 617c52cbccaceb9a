//! Untrained models: torch's initialisation as the authors' constructor leaves it, written as an ordinary checkpoint folder. Embeddings are
//! standard normal (uniform in -0.1 to 0.1 for the genes, as `init_weights` does), linear maps uniform in one over the root of their
//! inputs, attention inputs Xavier-uniform with zero biases, norms one and zero.

use std::path::Path;

use microtome_core::{Error, Result, closest};

use super::config::{Config, folder_of};
use super::presets::VARIANTS;
use super::vocabulary::{SPECIALS, Vocabulary};
use crate::Dimensions;
use crate::dimensions::{check_names, write_text};
use crate::untrained::{Kind, Plan};

/// Writes a whole small checkpoint folder: untrained weights over these symbols, without the classifier, which pre-training on values
/// does not train. Errors when a gene is named twice, the size is impossible, or `out` holds a model already.
pub fn write_untrained(size: Dimensions, genes: &[String], seed: u64, out: &Path) -> Result<()> {
    size.check()?;
    check_names(genes.iter().map(String::as_str))?;
    let config = Config {
        n_blocks: size.layers,
        d_model: size.d,
        n_heads: size.heads,
        d_mlp: size.ffn,
        max_tokens: size.max_tokens,
        pad_value: -2.0,
        mask_value: -1.0,
        stated_bins: Some(51),
    };
    refuse_model(out)?;
    std::fs::create_dir_all(out)
        .map_err(|e| Error::output("cannot make the folder").in_file(out).caused_by(e))?;
    let names = SPECIALS.into_iter().chain(genes.iter().map(String::as_str));
    let ids: serde_json::Map<String, serde_json::Value> =
        names.zip(0u32..).map(|(n, id)| (n.to_string(), id.into())).collect();
    write_text(&out.join("vocab.json"), &format!("{:#}\n", serde_json::Value::Object(ids)))?;
    let tensors = tensors(&config, SPECIALS.len() + genes.len(), false);
    tensors.write_safetensors(seed, &out.join("model.safetensors"))?;
    write_text(&out.join("args.json"), &format!("{:#}\n", config.to_json()))
}

fn refuse_model(out: &Path) -> Result<()> {
    if !out.join("args.json").exists() {
        return Ok(());
    }
    Err(Error::output("the folder holds a model already")
        .in_file(out)
        .remedy("name another folder, or remove that one"))
}

/// Writes an untrained model of a published size over the vocabulary of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of scgpt")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    write(&Config::of_variant(variant), &vocabulary_file(like), seed, out)
}

/// Writes an untrained model of the same configuration and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let config = Config::read(&folder_of(of).join("args.json"))?;
    write(&config, &vocabulary_file(of), seed, out)
}

/// `vocab.json` of a folder, or the file itself.
fn vocabulary_file(like: &Path) -> std::path::PathBuf {
    let named = like.is_file() && like.extension().is_some_and(|e| e == "json") && !like.ends_with("args.json");
    if named { like.to_path_buf() } else { folder_of(like).join("vocab.json") }
}

/// `args.json` comes last: a folder without it is not taken for a checkpoint.
fn write(config: &Config, vocabulary: &Path, seed: u64, out: &Path) -> Result<()> {
    refuse_model(out)?;
    let n_tokens = Vocabulary::read(vocabulary)?;
    let failed =
        |what: &str, path: &Path, e: std::io::Error| Error::output(what.to_string()).in_file(path).caused_by(e);
    std::fs::create_dir_all(out).map_err(|e| failed("cannot make the folder", out, e))?;
    let bytes = std::fs::read(vocabulary)
        .map_err(|e| Error::unreadable("cannot read the vocabulary").in_file(vocabulary).caused_by(e))?;
    let target = out.join("vocab.json");
    std::fs::write(&target, bytes).map_err(|e| failed("cannot write the vocabulary", &target, e))?;
    tensors(config, n_tokens.len(), true).write_safetensors(seed, &out.join("model.safetensors"))?;
    let path = out.join("args.json");
    let text = format!("{:#}\n", config.to_json());
    std::fs::write(&path, text).map_err(|e| failed("cannot write the configuration", &path, e))
}

/// Every tensor of a pre-trained file, by its published name.
fn tensors(c: &Config, n_tokens: usize, classifier: bool) -> Plan {
    let (d, f) = (c.d_model, c.d_mlp);
    let mut plan = Plan::default();
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize| {
        let bound = 1.0 / (n_in as f32).sqrt();
        plan.add(format!("{name}.weight"), &[n_out, n_in], Kind::Uniform(bound));
        plan.add(format!("{name}.bias"), &[n_out], Kind::Uniform(bound));
    };
    let norm = |plan: &mut Plan, name: &str| {
        plan.add(format!("{name}.weight"), &[d], Kind::Constant(1.0));
        plan.add(format!("{name}.bias"), &[d], Kind::Constant(0.0));
    };
    plan.add("encoder.embedding.weight".into(), &[n_tokens, d], Kind::Uniform(0.1));
    norm(&mut plan, "encoder.enc_norm");
    linear(&mut plan, "value_encoder.linear1", d, 1);
    linear(&mut plan, "value_encoder.linear2", d, d);
    norm(&mut plan, "value_encoder.norm");
    for i in 0..c.n_blocks {
        let b = format!("transformer_encoder.layers.{i}");
        let xavier = (6.0 / (4 * d) as f32).sqrt();
        plan.add(format!("{b}.self_attn.Wqkv.weight"), &[3 * d, d], Kind::Uniform(xavier));
        plan.add(format!("{b}.self_attn.Wqkv.bias"), &[3 * d], Kind::Constant(0.0));
        plan.add(format!("{b}.self_attn.out_proj.weight"), &[d, d], Kind::Uniform(1.0 / (d as f32).sqrt()));
        plan.add(format!("{b}.self_attn.out_proj.bias"), &[d], Kind::Constant(0.0));
        linear(&mut plan, &format!("{b}.linear1"), f, d);
        linear(&mut plan, &format!("{b}.linear2"), d, f);
        norm(&mut plan, &format!("{b}.norm1"));
        norm(&mut plan, &format!("{b}.norm2"));
    }
    linear(&mut plan, "decoder.fc.0", d, d);
    linear(&mut plan, "decoder.fc.2", d, d);
    linear(&mut plan, "decoder.fc.4", 1, d);
    for i in [0, 3].into_iter().filter(|_| classifier) {
        linear(&mut plan, &format!("cls_decoder._decoder.{i}"), d, d);
        norm(&mut plan, &format!("cls_decoder._decoder.{}", i + 2));
    }
    if classifier {
        linear(&mut plan, "cls_decoder.out_layer", 1, d);
    }
    linear(&mut plan, "mvc_decoder.gene2query", d, d);
    plan.add("mvc_decoder.W.weight".into(), &[d, d], Kind::Uniform(1.0 / (d as f32).sqrt()));
    plan
}
