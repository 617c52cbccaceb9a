//! Untrained models: uniform linear maps as torch draws them, normal tables of standard deviation 0.02, unit norms; written as a
//! folder with `model.safetensors` under the published names and a `config.json` that states the heads.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_weights::Checkpoint;

use super::config::{Config, declared_heads};
use super::gene_list::{self, folder_of};
use super::model::weights_file;
use super::presets::VARIANTS;
use crate::untrained::{Kind, Plan};

/// Bins of the value encoder in every published size.
const N_BINS: usize = 256;

/// Writes an untrained model of a published size over the gene list of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of cellfm")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let (list, genes) = gene_list::find(&folder_of(like), None)?;
    let config = Config {
        n_blocks: variant.n_blocks,
        d_model: variant.d_model,
        n_heads: variant.n_heads,
        n_bins: N_BINS,
        n_rows: gene_list::n_rows(genes.len()),
    };
    write(&config, &list, seed, out)
}

/// Writes an untrained model of the same dimensions and gene list as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let checkpoint = Checkpoint::open(&weights_file(of)?)?;
    let config = Config::of_checkpoint(&checkpoint, declared_heads(&folder_of(of))?)?;
    let (list, _) = gene_list::find(&folder_of(of), Some(config.n_rows))?;
    write(&config, &list, seed, out)
}

/// `config.json` comes last: a folder without it is not taken for a checkpoint.
fn write(config: &Config, list: &Path, seed: u64, out: &Path) -> Result<()> {
    if out.join("config.json").exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    let failed = |e: std::io::Error, path: &Path| {
        Error::output("cannot write a file of the model").in_file(path).caused_by(e)
    };
    std::fs::create_dir_all(out).map_err(|e| failed(e, out))?;
    let bytes = std::fs::read(list)
        .map_err(|e| Error::unreadable("cannot read the gene list").in_file(list).caused_by(e))?;
    let target = out.join(list.file_name().unwrap_or_default());
    std::fs::write(&target, bytes).map_err(|e| failed(e, &target))?;
    tensors(config).write_safetensors(seed, &out.join("model.safetensors"))?;
    let path = out.join("config.json");
    std::fs::write(&path, format!("{:#}\n", config.to_json())).map_err(|e| failed(e, &path))
}

/// Every tensor that is run, by its published name.
fn tensors(c: &Config) -> Plan {
    let (d, n) = (c.d_model, c.n_bins);
    let mut plan = Plan::default();
    let table = Kind::Normal { mean: 0.0, sd: 0.02 };
    let linear = |plan: &mut Plan, name: String, n_out: usize, n_in: usize| {
        plan.add(format!("{name}.weight"), &[n_out, n_in], Kind::Uniform(1.0 / (n_in as f32).sqrt()));
    };
    plan.add("gene_emb".into(), &[c.n_rows, d], table);
    plan.add("cls_token".into(), &[1, 1, d], table);
    let v = "value_enc.value_enc";
    plan.add(format!("{v}.a"), &[1, 1], Kind::Constant(0.0));
    linear(&mut plan, format!("{v}.w1"), n, 1);
    linear(&mut plan, format!("{v}.w3"), n, n);
    linear(&mut plan, format!("{v}.table"), d, n);
    for i in 0..c.n_blocks {
        for part in ["q", "k", "v", "u", "o"] {
            linear(&mut plan, format!("encoder.{i}.attn.{part}_proj"), d, d);
        }
        for part in ["u", "v", "o"] {
            linear(&mut plan, format!("encoder.{i}.ffn.{part}_proj"), d, d);
        }
        for norm in ["post_norm1", "post_norm2"] {
            plan.add(format!("encoder.{i}.{norm}.gamma"), &[d], Kind::Constant(1.0));
            plan.add(format!("encoder.{i}.{norm}.beta"), &[d], Kind::Constant(0.0));
        }
    }
    linear(&mut plan, "value_dec.w1".into(), d, d);
    linear(&mut plan, "value_dec.w2".into(), 1, d);
    linear(&mut plan, "cellwise_dec.map".into(), d, d);
    plan
}
