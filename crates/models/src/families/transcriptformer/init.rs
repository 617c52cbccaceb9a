//! Untrained models: torch's initialisation with the vocabulary's files copied. Protein vectors are data from outside the model: their
//! table is that of the checkpoint the vocabulary comes from.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_weights::{TensorData, write_safetensors};

use super::config::{Config, folder_of};
use super::model::TranscriptFormer;
use super::presets::{VARIANTS, d_gene_head};
use crate::Model;
use crate::untrained::{Kind, Plan};

/// Writes an untrained model of a published size over the vocabulary and protein vectors of the checkpoint `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let v = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of transcriptformer")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let model = TranscriptFormer::open(like)?;
    write(&model.config.resized(v, d_gene_head(v.id)), &model, like, seed, out)
}

/// Writes an untrained model of the same configuration, vocabulary and protein vectors as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let model = TranscriptFormer::open(of)?;
    write(&model.config, &model, of, seed, out)
}

/// `config.json` comes last: a folder without it is not taken for a checkpoint.
fn write(c: &Config, like: &TranscriptFormer, from: &Path, seed: u64, out: &Path) -> Result<()> {
    let config = out.join("config.json");
    if config.exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    let failed = |what: &str, path: &Path, e: std::io::Error| {
        Error::output(what.to_string()).in_file(path).caused_by(e)
    };
    let vocabs = out.join("vocabs");
    std::fs::create_dir_all(&vocabs).map_err(|e| failed("cannot make the folder", &vocabs, e))?;
    for (_, file) in &like.vocabulary.files {
        let target = vocabs.join(file.file_name().unwrap_or_default());
        std::fs::copy(file, &target).map_err(|e| failed("cannot copy the vocabulary", &target, e))?;
    }
    let mut tensors = plan(c, like).draw(seed)?;
    let (name, shape, table) = like.network.protein_table()?;
    tensors.push((name, shape, table));
    let list: Vec<(String, Vec<usize>, TensorData<'_>)> =
        tensors.iter().map(|(n, shape, v)| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    write_safetensors(&out.join("model.safetensors"), &list, &[("format".into(), "pt".into())])
        .map_err(|e| e.in_file(folder_of(from)))?;
    std::fs::write(&config, format!("{:#}\n", c.to_json()))
        .map_err(|e| failed("cannot write the configuration", &config, e))
}

/// Every tensor but the table of protein vectors, by its published name.
fn plan(c: &Config, like: &TranscriptFormer) -> Plan {
    let (d, n) = (c.d_model, like.info().d_vocab);
    let mut plan = Plan::default();
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize, bias: bool| {
        let bound = 1.0 / (n_in as f32).sqrt();
        plan.add(format!("{name}.weight"), &[n_out, n_in], Kind::Uniform(bound));
        if bias {
            plan.add(format!("{name}.bias"), &[n_out], Kind::Uniform(bound));
        }
    };
    let norm = |plan: &mut Plan, name: &str, n: usize| {
        plan.add(format!("{name}.weight"), &[n], Kind::Constant(1.0));
        plan.add(format!("{name}.bias"), &[n], Kind::Constant(0.0));
    };
    let readout = |plan: &mut Plan, name: &str, n_in: usize, n_hidden: usize, n_out: usize| {
        linear(plan, &format!("{name}.0"), n_hidden, n_in, true);
        norm(plan, &format!("{name}.2"), n_hidden);
        linear(plan, &format!("{name}.4"), n_out, n_hidden, true);
    };
    readout(&mut plan, "gene_embeddings.mlp.layers", like.network.d_protein(), d, d);
    readout(&mut plan, "mu.mlp.layers", 2 * d, d / 2, 1);
    readout(&mut plan, "gene_id_head.layers", d, c.d_gene_head, n);
    let standard = Kind::Normal { mean: 0.0, sd: 1.0 };
    plan.add("aux_embeddings.assay.weight".into(), &[like.vocabulary.n_assays(), d], standard);
    plan.add("mu.gene_embedding.weight".into(), &[n, 1], standard);
    for i in 0..c.n_blocks {
        let b = format!("transformer_encoder.encoder_layers.{i}");
        for part in 0..4 {
            linear(&mut plan, &format!("{b}.self_attn.linears.{part}"), d, d, c.attn_bias);
        }
        linear(&mut plan, &format!("{b}.linear1"), c.d_mlp, d, c.mlp_bias);
        linear(&mut plan, &format!("{b}.linear2"), d, c.d_mlp, c.mlp_bias);
        norm(&mut plan, &format!("{b}.norm1"), d);
        norm(&mut plan, &format!("{b}.norm2"), d);
    }
    plan
}
