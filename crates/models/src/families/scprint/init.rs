//! Untrained models, written as one safetensors file with the hyper-parameters in its metadata. Linear maps and class rows are normal
//! with standard deviation 0.02 (maps into the stream divided by `sqrt(2 blocks)`), biases zero, norms one. What the authors do not
//! train stays as it is: the position buffer, and the gene table where it is frozen.

use std::path::Path;

use microtome_core::{Error, Result, closest};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};
use serde_json::Value;

use super::hyper::Hyper;
use super::layout::{self, HYPER, STATE};
use super::presets::VARIANTS;
use crate::untrained::{Kind, Plan};

/// Name of the weights of untrained models.
pub(super) const FILE: &str = "scprint.safetensors";

/// Writes an untrained model of a published size over the genes, positions and classes of the checkpoint `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let v = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of scprint")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    write(like, Some([v.d_model, v.n_blocks, v.n_heads]), seed, out)
}

/// Writes an untrained model of the same shape and vocabulary as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    write(of, None, seed, out)
}

fn write(like: &Path, size: Option<[usize; 3]>, seed: u64, out: &Path) -> Result<()> {
    let file = layout::sole(like)?;
    let target = out.join(FILE);
    if target.exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    let checkpoint = Checkpoint::open(&file)?;
    let mut raw = Hyper::read(&checkpoint).map_err(|e| e.in_file(&file))?.raw;
    if let Some([d, n_blocks, n_heads]) = size {
        for (key, n) in [("d_model", d), ("nlayers", n_blocks), ("nhead", n_heads)] {
            raw.insert(key.into(), n.into());
        }
        raw.insert("num_heads_kv".into(), Value::Null);
    }
    let hyper = Hyper::parse(raw)?;
    let shapes = shapes(&checkpoint, &hyper, size.is_some()).map_err(|e| e.in_file(&file))?;
    let mut drawn = plan(&shapes, hyper.n_blocks).draw(seed)?;
    for (name, shape, values) in &mut drawn {
        if let Some(kept) = kept(&checkpoint, &hyper, name, shape)? {
            *values = kept;
        }
    }
    let tensors: Vec<(String, Vec<usize>, TensorData<'_>)> =
        drawn.iter().map(|(n, shape, v)| (n.clone(), shape.clone(), TensorData::F32(v))).collect();
    let text = Value::Object(hyper.raw.clone()).to_string();
    std::fs::create_dir_all(out)
        .map_err(|e| Error::output("cannot make the folder").in_file(out).caused_by(e))?;
    copy_ontology(&file, out)?;
    write_safetensors(&target, &tensors, &[("format".into(), "pt".into()), (HYPER.into(), text)])
}

/// Names and shapes of the tensors that the network uses, for another width and number of blocks where a preset asks for them.
fn shapes(checkpoint: &Checkpoint, hyper: &Hyper, resized: bool) -> Result<Vec<(String, Vec<usize>)>> {
    let model = super::model::ScPrint::with_hyper(checkpoint, checkpoint.path(), Hyper::read(checkpoint)?)?;
    let old = &model.hyper;
    let prefix = format!("{STATE}.");
    let mut out = vec![];
    for t in &crate::Model::audit(&model).used {
        let name = t.name.strip_prefix(&prefix).unwrap_or(&t.name);
        if !resized {
            out.push((name.to_string(), t.shape.clone()));
            continue;
        }
        let d = |n: usize| match n {
            n if n == old.d_model => hyper.d_model,
            n if n == old.d_model + 1 && name.starts_with("expr_decoder.fc.0.") => hyper.d_model + 1,
            n => n,
        };
        match name.strip_prefix("transformer.blocks.").and_then(|r| r.split_once('.')) {
            Some(("0", part)) => {
                let w = hyper.d_model;
                let shape = match part.rsplit_once('.').unwrap_or((part, "")) {
                    ("mixer.Wqkv", "weight") => vec![3 * w, w],
                    ("mixer.Wqkv", _) => vec![3 * w],
                    ("mlp.fc1", "weight") => vec![4 * w, w],
                    ("mlp.fc1", _) => vec![4 * w],
                    ("mlp.fc2", "weight") => vec![w, 4 * w],
                    ("mixer.out_proj", "weight") => vec![w, w],
                    _ => vec![w],
                };
                for i in 0..hyper.n_blocks {
                    out.push((format!("transformer.blocks.{i}.{part}"), shape.clone()));
                }
            }
            Some(_) => {}
            None => {
                // Class heads keep their hidden width and their number of labels; only what they take in changes.
                let head = name.starts_with("cls_decoders.");
                let input = head && name.ends_with("decoder.0.weight");
                let fixed = |axis: usize| head && !(input && axis == 1);
                let shape =
                    t.shape.iter().enumerate().map(|(axis, &n)| if fixed(axis) { n } else { resize(name, axis, n, &d) });
                out.push((name.to_string(), shape.collect()));
            }
        }
    }
    Ok(out)
}

/// The first axis of tables counts genes or classes, whatever the width is.
fn resize(name: &str, axis: usize, n: usize, d: &dyn Fn(usize) -> usize) -> usize {
    let table = name.contains("embedding") || name.ends_with("pos_encoder.pe");
    let three = name.starts_with("expr_decoder.pred_var_zero.") && axis == 0;
    let one = name.ends_with("encoder.0.weight") && axis == 1;
    let middle = name.ends_with("pos_encoder.pe") && axis == 1;
    if (table && axis == 0) || three || one || middle { n } else { d(n) }
}

fn plan(shapes: &[(String, Vec<usize>)], n_blocks: usize) -> Plan {
    let mut plan = Plan::default();
    for (name, shape) in shapes {
        let into_stream = name.ends_with("out_proj.weight") || name.ends_with("fc2.weight");
        let kind = match (name.ends_with(".bias"), shape.len()) {
            (true, _) => Kind::Constant(0.0),
            // Weights of norms are the only vectors.
            (false, 1) => Kind::Constant(1.0),
            _ if into_stream => Kind::Normal { mean: 0.0, sd: 0.02 / (2.0 * n_blocks as f32).sqrt() },
            _ => Kind::Normal { mean: 0.0, sd: 0.02 },
        };
        plan.add(name.clone(), shape, kind);
    }
    plan
}

/// Values that training does not touch: taken from the checkpoint, or for another width made anew by the published formula.
fn kept(checkpoint: &Checkpoint, hyper: &Hyper, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
    let frozen = hyper.raw.get("freeze_embeddings").and_then(Value::as_bool) == Some(true)
        && hyper.raw.get("precpt_gene_emb").is_some_and(|v| !v.is_null());
    let positions = name == "pos_encoder.pe";
    let kept = positions || (frozen && name.starts_with("gene_encoder."));
    if !kept {
        return Ok(None);
    }
    let full = [format!("{STATE}.{name}"), name.to_string()];
    let same = full.iter().find(|n| checkpoint.info(n).is_some_and(|i| i.shape == shape));
    match same {
        Some(full) => checkpoint.read_f32(full).map(Some),
        None if positions => sinusoids(hyper).map(Some),
        None => Ok(None),
    }
}

/// `pe[gene] = sin / cos ((pos - 1) / 10000^(2 i / d))`, sines in even and cosines in odd columns.
pub(super) fn sinusoids(hyper: &Hyper) -> Result<Vec<f32>> {
    let wrong = || {
        Error::unreadable("the genome positions of the genes are missing, so another width cannot be made")
            .at_key("hyper_parameters.gene_pos_enc")
            .expected(format!("{} whole numbers", hyper.genes.len()))
    };
    let places = hyper.raw.get("gene_pos_enc").and_then(Value::as_array).ok_or_else(wrong)?;
    if places.len() != hyper.genes.len() {
        return Err(wrong());
    }
    let d = hyper.d_model;
    let mut out = Vec::with_capacity(places.len() * d);
    for place in places {
        let place = place.as_f64().ok_or_else(wrong)? - 1.0;
        for column in 0..d {
            let angle = place / 10_000f64.powf((column - column % 2) as f64 / d as f64);
            out.push(if column % 2 == 0 { angle.sin() } else { angle.cos() } as f32);
        }
    }
    Ok(out)
}

/// The table of genes belongs to the vocabulary.
fn copy_ontology(file: &Path, out: &Path) -> Result<()> {
    let Some(ontology) = super::ontology::Ontology::near(&layout::folder_of(file))? else { return Ok(()) };
    let target = out.join(ontology.path.file_name().unwrap_or_default());
    let bytes = std::fs::read(&ontology.path)
        .map_err(|e| Error::unreadable("cannot read the table of genes").in_file(&ontology.path).caused_by(e))?;
    std::fs::write(&target, bytes)
        .map_err(|e| Error::output("cannot write the table of genes").in_file(&target).caused_by(e))
}
