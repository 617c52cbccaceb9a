//! Untrained models: torch's default initialisation of every layer, as the reference leaves it, and orthogonal random features.
//! One sub-model is written, under its own name.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};
use serde_json::json;

use super::card::VARIANTS;
use super::config::{self, Config};
use super::files;
use crate::families::split_part;
use crate::tokenize::gene_list;
use crate::untrained::{Kind, Plan, orthogonal_features};

/// Writes an untrained model of the published size over the gene list of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of scfoundation")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose the published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let (like, part) = split_part(like);
    let part = part.as_deref().map_or(Ok(files::PARTS[0]), |named| {
        files::PARTS.into_iter().find(|p| *p == named).ok_or_else(|| {
            Error::usage("no such sub-model").expected(files::PARTS.join(", ")).found(named)
        })
    })?;
    let (list, genes) = gene_list::find(&gene_list::folder_of(&like), None)?;
    write(&Config::published(variant, genes.len()), 266, part, &list, seed, out)
}

/// Writes an untrained model of the same configuration and gene list as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let (weights, named) = files::weights(of)?;
    let checkpoint = Checkpoint::open(&weights)?;
    let part = files::choose(&checkpoint, named.as_deref())?;
    let config = Config::read(&checkpoint, part)?;
    let (list, _) = gene_list::find(&gene_list::folder_of(&weights), Some(config.n_genes))?;
    let name = format!("{part}.state_dict.model.{}", projection(0));
    let features = match checkpoint.info(&name).map(|i| &i.shape[..]) {
        Some(&[n, d]) if d == config.decoder.d_head && n > 0 => n,
        other => {
            return Err(Error::mismatch("the random features of the decoder are missing or of another width")
                .in_file(&weights)
                .at_key(name)
                .expected(format!("[any, {}]", config.decoder.d_head))
                .found(format!("{other:?}")));
        }
    };
    write(&config, features, part, &list, seed, out)
}

fn projection(block: usize) -> String {
    format!("decoder.performer.net.layers.{block}.0.fn.fast_attention.projection_matrix")
}

/// The weights come last: a folder without them is not taken for a checkpoint.
fn write(c: &Config, features: usize, part: &str, list: &Path, seed: u64, out: &Path) -> Result<()> {
    let target = out.join(files::UNTRAINED);
    if target.exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    let failed =
        |what: &str, path: &Path, e: std::io::Error| Error::output(what.to_string()).in_file(path).caused_by(e);
    std::fs::create_dir_all(out).map_err(|e| failed("cannot make the folder", out, e))?;
    let copy = out.join(list.file_name().unwrap_or_default());
    let bytes = std::fs::read(list)
        .map_err(|e| Error::unreadable("cannot read the gene list").in_file(list).caused_by(e))?;
    std::fs::write(&copy, bytes).map_err(|e| failed("cannot write the gene list", &copy, e))?;
    let mut drawn = tensors(c, features).draw(seed)?;
    for (name, shape, values) in &mut drawn {
        if let (true, [_, d]) = (name.ends_with("projection_matrix"), &shape[..]) {
            // Twice as many rows were drawn: directions first, then lengths.
            let lengths = values.split_off(values.len() / 2);
            orthogonal_features(values, &lengths, *d);
            shape[0] /= 2;
        }
    }
    let tensors: Vec<(String, Vec<usize>, TensorData<'_>)> = drawn
        .iter()
        .map(|(n, shape, v)| (format!("{part}.state_dict.model.{n}"), shape.clone(), TensorData::F32(v)))
        .collect();
    let config = json!({ part: c.to_json() }).to_string();
    write_safetensors(&target, &tensors, &[(config::METADATA.into(), config)])
}

/// Every tensor of a sub-model by its published name, but with two rows of every projection for one.
fn tensors(c: &Config, features: usize) -> Plan {
    let mut plan = Plan::default();
    let normal = Kind::Normal { mean: 0.0, sd: 1.0 };
    let (one, zero) = (Kind::Constant(1.0), Kind::Constant(0.0));
    let bound = |n_in: usize| Kind::Uniform(1.0 / (n_in as f32).sqrt());
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize| {
        plan.add(format!("{name}.weight"), &[n_out, n_in], bound(n_in));
        plan.add(format!("{name}.bias"), &[n_out], bound(n_in));
    };
    let norm = |plan: &mut Plan, name: &str, d: usize| {
        plan.add(format!("{name}.weight"), &[d], one);
        plan.add(format!("{name}.bias"), &[d], zero);
    };
    let (d, n) = (c.d_model, c.n_bins);
    linear(&mut plan, "token_emb.mlp", n, 1);
    linear(&mut plan, "token_emb.mlp2", n, n);
    for (table, rows) in [("emb", n), ("emb_mask", 1), ("emb_pad", 1)] {
        plan.add(format!("token_emb.{table}.weight"), &[rows, d], normal);
    }
    plan.add("pos_emb.weight".into(), &[c.n_rows() + 1, d], normal);
    for i in 0..c.n_blocks {
        let b = format!("encoder.transformer_encoder.{i}");
        let xavier = Kind::Uniform((6.0 / (4 * d) as f32).sqrt());
        plan.add(format!("{b}.self_attn.in_proj_weight"), &[3 * d, d], xavier);
        plan.add(format!("{b}.self_attn.in_proj_bias"), &[3 * d], zero);
        plan.add(format!("{b}.self_attn.out_proj.weight"), &[d, d], bound(d));
        plan.add(format!("{b}.self_attn.out_proj.bias"), &[d], zero);
        linear(&mut plan, &format!("{b}.linear1"), 4 * d, d);
        linear(&mut plan, &format!("{b}.linear2"), d, 4 * d);
        norm(&mut plan, &format!("{b}.norm1"), d);
        norm(&mut plan, &format!("{b}.norm2"), d);
    }
    norm(&mut plan, "encoder.norm", d);
    let dd = c.decoder.d_model;
    let inner = c.decoder.n_heads * c.decoder.d_head;
    linear(&mut plan, "decoder_embed", dd, d);
    for i in 0..c.decoder.n_blocks {
        let b = format!("decoder.performer.net.layers.{i}");
        norm(&mut plan, &format!("{b}.0.norm"), dd);
        plan.add(projection(i), &[2 * features, c.decoder.d_head], normal);
        for part in ["to_q", "to_k", "to_v"] {
            linear(&mut plan, &format!("{b}.0.fn.{part}"), inner, dd);
        }
        linear(&mut plan, &format!("{b}.0.fn.to_out"), dd, inner);
        norm(&mut plan, &format!("{b}.1.norm"), dd);
        linear(&mut plan, &format!("{b}.1.fn.fn.w1"), 4 * dd, dd);
        linear(&mut plan, &format!("{b}.1.fn.fn.w2"), dd, 4 * dd);
    }
    norm(&mut plan, "decoder.norm", dd);
    norm(&mut plan, "norm", dd);
    linear(&mut plan, "to_final", 1, dd);
    plan
}
