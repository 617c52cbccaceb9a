//! Untrained models: normal weights with standard deviation 0.02 (`initializer_range` of the published configuration) for linear
//! maps and tables, zero biases, unit norms, written as an ordinary checkpoint folder.

use std::path::Path;

use microtome_core::{Error, Result, closest};

use super::config::{Config, NormKind};
use super::presets::VARIANTS;
use crate::Dimensions;
use crate::hugging_face::{create, write_config};
use crate::tokenize::gene_list;
use crate::untrained::{Kind, Plan};

/// Writes an untrained model of a published size over the gene list of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of aido_cell")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let (list, genes) = gene_list::find(&gene_list::folder_of(like), None)?;
    write(&Config { n_genes: genes.len(), ..Config::of_variant(variant) }, &list, seed, out)
}

/// Writes an untrained model of the same configuration and gene list as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let folder = gene_list::folder_of(of);
    let config = Config::read(&folder.join("config.json"))?;
    let (list, _) = gene_list::find(&folder, Some(config.n_genes))?;
    write(&config, &list, seed, out)
}

/// Writes a whole small checkpoint folder: untrained weights over these symbols, which are all of the model's genes, whatever the
/// size says of tokens. Norms, bins and biases are those of the published sizes. Errors when the size is impossible, a gene is named
/// twice, or `out` holds a model already.
pub fn write_untrained(size: Dimensions, genes: &[String], seed: u64, out: &Path) -> Result<()> {
    size.check()?;
    let config = Config {
        n_blocks: size.layers,
        d_model: size.d,
        n_heads: size.heads,
        d_mlp: size.ffn,
        n_genes: genes.len(),
        ..Config::of_variant(&VARIANTS[0])
    };
    create(out)?;
    gene_list::write(out, genes)?;
    tensors(&config).write_safetensors(seed, &out.join("model.safetensors"))?;
    write_config(&config.to_json(), out)
}

/// `config.json` comes last: a folder without it is not taken for a checkpoint.
fn write(config: &Config, list: &Path, seed: u64, out: &Path) -> Result<()> {
    if out.join("config.json").exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    let failed =
        |what: &str, path: &Path, e: std::io::Error| Error::output(what.to_string()).in_file(path).caused_by(e);
    std::fs::create_dir_all(out).map_err(|e| failed("cannot make the folder", out, e))?;
    let target = out.join(list.file_name().unwrap_or_default());
    let bytes = std::fs::read(list)
        .map_err(|e| Error::unreadable("cannot read the gene list").in_file(list).caused_by(e))?;
    std::fs::write(&target, bytes).map_err(|e| failed("cannot write the gene list", &target, e))?;
    tensors(config).write_safetensors(seed, &out.join("model.safetensors"))?;
    let path = out.join("config.json");
    let text = format!("{:#}\n", config.to_json());
    std::fs::write(&path, text).map_err(|e| failed("cannot write the configuration", &path, e))
}

/// Every tensor of `CellFoundationForMaskedLM`, by its published name.
fn tensors(c: &Config) -> Plan {
    let (d, f, n) = (c.d_model, c.d_mlp, c.n_bins);
    let normal = Kind::Normal { mean: 0.0, sd: 0.02 };
    let mut plan = Plan::default();
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize, bias: bool| {
        plan.add(format!("{name}.weight"), &[n_out, n_in], normal);
        if bias {
            plan.add(format!("{name}.bias"), &[n_out], Kind::Constant(0.0));
        }
    };
    let norm = |plan: &mut Plan, name: &str| {
        plan.add(format!("{name}.weight"), &[d], Kind::Constant(1.0));
        if c.norm == NormKind::Layer {
            plan.add(format!("{name}.bias"), &[d], Kind::Constant(0.0));
        }
    };
    let e = "bert.gene_embedding";
    linear(&mut plan, &format!("{e}.linear1"), n, 1, true);
    linear(&mut plan, &format!("{e}.linear2"), n, n, true);
    for (table, rows) in [("lookup_table", n), ("mask_embedding", 1), ("pad_embedding", 1)] {
        plan.add(format!("{e}.{table}.weight"), &[rows, d], normal);
    }
    plan.add("bert.position_embedding.weight".into(), &[c.n_tokens(), d], normal);
    for i in 0..c.n_blocks {
        let b = format!("bert.encoder.layer.{i}");
        norm(&mut plan, &format!("{b}.attention.ln"));
        for part in ["query", "key", "value"] {
            linear(&mut plan, &format!("{b}.attention.self.{part}"), d, d, c.linear_bias);
        }
        linear(&mut plan, &format!("{b}.attention.output.dense"), d, d, c.linear_bias);
        norm(&mut plan, &format!("{b}.ln"));
        linear(&mut plan, &format!("{b}.mlp.up_proj"), f, d, c.linear_bias);
        linear(&mut plan, &format!("{b}.mlp.gate_proj"), f, d, c.linear_bias);
        linear(&mut plan, &format!("{b}.mlp.down_proj"), d, f, c.linear_bias);
    }
    norm(&mut plan, "bert.encoder.ln");
    let p = "cls.predictions";
    linear(&mut plan, &format!("{p}.transform.dense"), d, d, true);
    plan.add(format!("{p}.transform.LayerNorm.weight"), &[d], Kind::Constant(1.0));
    plan.add(format!("{p}.transform.LayerNorm.bias"), &[d], Kind::Constant(0.0));
    plan.add(format!("{p}.decoder.weight"), &[1, d], normal);
    plan.add(format!("{p}.bias"), &[1], Kind::Constant(0.0));
    plan
}
