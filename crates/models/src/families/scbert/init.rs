//! Untrained models: torch's default initialisation of every layer and orthogonal random features, over gene2vec positions of the
//! checkpoint at hand (they are fixed input, not learned from the cells).

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use super::files::{self, SCOPE};
use super::network::{Shape, loader};
use crate::untrained::{Kind, Plan, orthogonal_features};

/// There are no gene2vec positions without a checkpoint, so a preset is the twin of `like` when it has the published size.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let variant = super::card::VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = super::card::VARIANTS.iter().map(|v| v.id).collect();
        Error::usage("no such preset of scbert")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
    })?;
    let checkpoint = Checkpoint::open(&files::weights(like)?)?;
    let s = Shape::of(&loader(&checkpoint)?)?;
    if [s.n_blocks, s.d_model, s.n_tokens] != [variant.n_blocks, variant.d_model, variant.max_tokens] {
        return Err(Error::mismatch("the checkpoint is not of the published size, and gene2vec fixes the size")
            .in_file(like)
            .expected(format!("{} blocks, width {}, {} tokens", variant.n_blocks, variant.d_model, variant.max_tokens))
            .found(format!("{} blocks, width {}, {} tokens", s.n_blocks, s.d_model, s.n_tokens))
            .remedy("make a twin of it instead"));
    }
    init_twin(like, seed, out)
}

/// Writes an untrained model of the same shape, gene order and positions as the checkpoint `of`, with the head of pre-training.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let weights = files::weights(of)?;
    let checkpoint = Checkpoint::open(&weights)?;
    let loader = loader(&checkpoint)?;
    let s = Shape::of(&loader)?;
    let positions = loader.f64("pos_emb.emb.weight", &[s.n_tokens, s.d_model])?;
    let (_, genes) = files::gene_order(&weights)?;
    let target = out.join(files::UNTRAINED);
    if target.exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    std::fs::create_dir_all(out).map_err(|e| Error::output("cannot make the folder").in_file(out).caused_by(e))?;
    files::write_order(out, &genes)?;
    let mut drawn = tensors(s).draw(seed)?;
    for (name, shape, values) in drawn.iter_mut().filter(|(n, ..)| n.ends_with("projection_matrix")) {
        debug_assert!(name.starts_with("performer"));
        // Twice as many rows were drawn: directions first, then lengths.
        let lengths = values.split_off(values.len() / 2);
        orthogonal_features(values, &lengths, s.d_head);
        shape[0] /= 2;
    }
    let full = |n: &str| format!("{SCOPE}.{n}");
    let mut tensors: Vec<(String, Vec<usize>, TensorData<'_>)> =
        drawn.iter().map(|(n, shape, v)| (full(n), shape.clone(), TensorData::F32(v))).collect();
    tensors.push((full("pos_emb.emb.weight"), vec![s.n_tokens, s.d_model], TensorData::F64(&positions)));
    write_safetensors(&target, &tensors, &[])
}

/// Every tensor by its published name but the positions; projections have two rows for one.
fn tensors(s: Shape) -> Plan {
    let mut plan = Plan::default();
    let normal = Kind::Normal { mean: 0.0, sd: 1.0 };
    let bound = |n_in: usize| Kind::Uniform(1.0 / (n_in as f32).sqrt());
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize, bias: bool| {
        plan.add(format!("{name}.weight"), &[n_out, n_in], bound(n_in));
        if bias {
            plan.add(format!("{name}.bias"), &[n_out], bound(n_in));
        }
    };
    let norm = |plan: &mut Plan, name: &str| {
        plan.add(format!("{name}.weight"), &[s.d_model], Kind::Constant(1.0));
        plan.add(format!("{name}.bias"), &[s.d_model], Kind::Constant(0.0));
    };
    let (d, inner) = (s.d_model, s.n_heads * s.d_head);
    plan.add("token_emb.weight".into(), &[s.vocab, d], normal);
    for i in 0..s.n_blocks {
        let b = format!("performer.net.layers.{i}");
        norm(&mut plan, &format!("{b}.0.norm"));
        plan.add(format!("{b}.0.fn.fast_attention.projection_matrix"), &[2 * s.n_features, s.d_head], normal);
        for part in ["to_q", "to_k", "to_v"] {
            linear(&mut plan, &format!("{b}.0.fn.{part}"), inner, d, false);
        }
        linear(&mut plan, &format!("{b}.0.fn.to_out"), d, inner, true);
        norm(&mut plan, &format!("{b}.1.norm"));
        linear(&mut plan, &format!("{b}.1.fn.fn.w1"), s.d_mlp, d, true);
        linear(&mut plan, &format!("{b}.1.fn.fn.w2"), d, s.d_mlp, true);
    }
    norm(&mut plan, "norm");
    linear(&mut plan, "to_out", s.vocab, d, true);
    plan
}
