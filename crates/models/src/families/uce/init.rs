//! Untrained models: torch's initialisation, written as a folder with the tables of the vocabulary copied. The table of protein vectors
//! is data from outside the model and is kept as it is (`all_tokens.torch`).

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result, closest};
use microtome_weights::Checkpoint;

use super::model::Uce;
use super::presets::VARIANTS;
use super::settings::{CHROMOSOMES, OFFSETS, SETTINGS, Settings, TOKENS, folder_of};
use super::species::AllSpecies;
use crate::untrained::{Kind, Plan};

/// Widths of a network.
struct Shape {
    n_blocks: usize,
    d: usize,
    d_mlp: usize,
    d_token: usize,
    n_positions: usize,
    /// Outputs of the decoder's layers.
    decoder: Vec<usize>,
    /// Outputs of the expression readout's layers.
    expression: Vec<usize>,
}

/// Writes an untrained model of a published size over the tables of `like`.
pub(super) fn init_preset(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()> {
    let v = VARIANTS.iter().find(|v| v.id == preset).ok_or_else(|| {
        let ids: Vec<&str> = VARIANTS.iter().map(|v| v.id).collect();
        let near = closest(preset, ids.iter().copied());
        Error::usage("no such preset of uce")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{preset}\""))
            .remedy(near.map_or("choose a published size".into(), |n| format!("did you mean {n}?")))
    })?;
    let folder = folder_of(like);
    let (rows, d_token) = token_table(&folder)?;
    let species = AllSpecies::read(&folder)?;
    let offset = rows.checked_sub(species.chromosomes.len()).ok_or_else(|| {
        Error::mismatch("the token table has fewer rows than there are chromosomes")
            .in_file(folder.join(TOKENS))
    })?;
    let shape = Shape {
        n_blocks: v.n_blocks,
        d: v.d_model,
        d_mlp: v.d_mlp,
        d_token,
        n_positions: v.max_tokens,
        decoder: vec![1024, v.d_model, v.d_model, v.d_model],
        expression: vec![2048, 512, 128, 1],
    };
    write(&shape, &Settings::PUBLISHED, offset, &folder, &species, seed, out)
}

/// Writes an untrained model of the same dimensions, settings and tables as the checkpoint `of`.
pub(super) fn init_twin(of: &Path, seed: u64, out: &Path) -> Result<()> {
    let model = Uce::open(of)?;
    let n = &model.network;
    let widths = |d: &super::network::Decoder| -> Vec<usize> {
        d.steps.iter().map(|s| s.linear.n_out()).chain([d.out.n_out()]).collect()
    };
    let shape = Shape {
        n_blocks: n.blocks.len(),
        d: n.d,
        d_mlp: n.blocks.first().map_or(0, |b| b.up.n_out()),
        d_token: n.table.width,
        n_positions: n.positions.len() / n.d,
        decoder: widths(&n.decoder),
        expression: widths(&n.expression),
    };
    write(
        &shape,
        &model.settings,
        model.chromosome_offset as usize,
        &folder_of(of),
        &model.species,
        seed,
        out,
    )
}

/// Rows and columns of `all_tokens.torch`.
fn token_table(folder: &Path) -> Result<(usize, usize)> {
    let path = folder.join(TOKENS);
    let table = Checkpoint::open(&path).map_err(|e| {
        e.remedy("an untrained model keeps the published token table: put all_tokens.torch into the folder")
    })?;
    match table.names().first().and_then(|n| table.info(n)).map(|i| &i.shape[..]) {
        Some(&[rows, width]) => Ok((rows, width)),
        _ => Err(Error::unreadable("the token table is not one tensor of two dimensions").in_file(&path)),
    }
}

/// The weights come last: a folder without them is not taken for a checkpoint.
fn write(
    shape: &Shape,
    settings: &Settings,
    offset: usize,
    from: &Path,
    species: &AllSpecies,
    seed: u64,
    out: &Path,
) -> Result<()> {
    let weights = out.join("model.safetensors");
    if weights.exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    token_table(from)?;
    let failed = |what: &str, path: &Path, e: std::io::Error| {
        Error::output(what.to_string()).in_file(path).caused_by(e)
    };
    let proteins = out.join("protein_embeddings");
    std::fs::create_dir_all(&proteins).map_err(|e| failed("cannot make the folder", &proteins, e))?;
    let mut copies: Vec<(PathBuf, PathBuf)> =
        [TOKENS, OFFSETS, CHROMOSOMES].map(|n| (from.join(n), out.join(n))).into();
    copies.extend(
        species.species.iter().filter_map(|s| Some((s.file.clone(), proteins.join(s.file.file_name()?)))),
    );
    for (source, target) in copies {
        std::fs::copy(&source, &target)
            .map_err(|e| failed("cannot copy a table of the vocabulary", &source, e))?;
    }
    let path = out.join(SETTINGS);
    let text = format!("{:#}\n", settings.to_json(offset));
    std::fs::write(&path, text).map_err(|e| failed("cannot write the settings", &path, e))?;
    tensors(shape).write_safetensors(seed, &weights)
}

/// Every tensor but the token table, by its published name.
fn tensors(s: &Shape) -> Plan {
    let (d, mut plan) = (s.d, Plan::default());
    let linear = |plan: &mut Plan, name: &str, n_out: usize, n_in: usize| {
        let bound = 1.0 / (n_in as f32).sqrt();
        plan.add(format!("{name}.weight"), &[n_out, n_in], Kind::Uniform(bound));
        plan.add(format!("{name}.bias"), &[n_out], Kind::Uniform(bound));
    };
    let norm = |plan: &mut Plan, name: &str, n: usize| {
        plan.add(format!("{name}.weight"), &[n], Kind::Constant(1.0));
        plan.add(format!("{name}.bias"), &[n], Kind::Constant(0.0));
    };
    plan.add("pos_encoder.pe".into(), &[s.n_positions, 1, d], Kind::Sinusoids(d));
    linear(&mut plan, "encoder.0", d, s.d_token);
    norm(&mut plan, "encoder.2", d);
    for i in 0..s.n_blocks {
        let b = format!("transformer_encoder.layers.{i}");
        let xavier = (6.0 / (4 * d) as f32).sqrt();
        plan.add(format!("{b}.self_attn.in_proj_weight"), &[3 * d, d], Kind::Uniform(xavier));
        plan.add(format!("{b}.self_attn.in_proj_bias"), &[3 * d], Kind::Constant(0.0));
        plan.add(format!("{b}.self_attn.out_proj.weight"), &[d, d], Kind::Uniform(1.0 / (d as f32).sqrt()));
        plan.add(format!("{b}.self_attn.out_proj.bias"), &[d], Kind::Constant(0.0));
        linear(&mut plan, &format!("{b}.linear1"), s.d_mlp, d);
        linear(&mut plan, &format!("{b}.linear2"), d, s.d_mlp);
        norm(&mut plan, &format!("{b}.norm1"), d);
        norm(&mut plan, &format!("{b}.norm2"), d);
    }
    let d_cell = s.decoder.last().copied().unwrap_or(d);
    for (name, n_in, widths) in [("decoder", d, &s.decoder), ("binary_decoder", d_cell + d, &s.expression)] {
        let inputs = std::iter::once(n_in).chain(widths.iter().copied());
        for (i, (n_in, &n_out)) in inputs.zip(widths).enumerate() {
            if i + 1 == widths.len() {
                linear(&mut plan, &format!("{name}.{i}"), n_out, n_in);
            } else {
                linear(&mut plan, &format!("{name}.{i}.0"), n_out, n_in);
                norm(&mut plan, &format!("{name}.{i}.1"), n_out);
            }
        }
    }
    linear(&mut plan, "gene_embedding_layer.0", d, s.d_token);
    norm(&mut plan, "gene_embedding_layer.2", d);
    plan
}
