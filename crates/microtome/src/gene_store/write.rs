//! Writing the files of a gene store, each whole or not at all.

use std::path::Path;

use microtome_core::{Error, Matrix, Result, Site};
use microtome_models::taps::{BlockFlow, GeneMeans};
use microtome_models::{AttentionWeights, Model};
use microtome_weights::{Checkpoint, DType, TensorData, write_safetensors};

use super::{BlockAttention, GeneStoreManifest, MANIFEST};
use crate::{hash, output};

/// A file name made of a category or model: letters, digits, `-` and `_` stay, everything else becomes `_`. A short hash of the whole
/// text is added where that loses anything, so that different names never share a file.
pub(crate) fn stem_of(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut stem: String = text.chars().take(80).map(|c| if safe(c) { c } else { '_' }).collect();
    if stem != text || stem.is_empty() {
        stem.push('_');
        stem.push_str(&hash::of_bytes(text.as_bytes())[..8]);
    }
    stem
}

/// What a category holds beside the means of genes.
#[derive(Clone, Debug, Default)]
pub(crate) struct CellView {
    /// One `[cell, d]` per site: mean over the gene tokens of a cell, in the order in which cells were drawn. Empty where there are none.
    pub(crate) cells: Vec<Matrix>,
    /// One per block; empty where there are none.
    pub(crate) flow: Vec<BlockFlow>,
    /// Curvature along the order of tokens, one per block, in radians; empty where tokens have none.
    pub(crate) curvature: Vec<f64>,
}

/// Writes the means of one category: one [`GeneMeans`] per site, all over the same genes, with variances where there are any. `row_of` gives the row of the table of
/// genes for a gene of the vocabulary; genes without one are left out. Returns the number of genes.
pub(crate) fn write_category(
    path: &Path,
    sites: &[Site],
    means: &[GeneMeans],
    view: &CellView,
    row_of: &dyn Fn(u32) -> Option<usize>,
    inputs: &str,
) -> Result<usize> {
    let Some(first) = means.first() else {
        return Err(Error::usage("a category is written for at least one site"));
    };
    let kept: Vec<(usize, usize)> =
        first.tokens.iter().enumerate().filter_map(|(i, &t)| row_of(t).map(|row| (i, row))).collect();
    let genes: Vec<i64> = kept.iter().map(|(_, row)| *row as i64).collect();
    let counts: Vec<i64> = kept.iter().map(|(i, _)| first.counts[*i] as i64).collect();
    let places: Vec<usize> = kept.iter().map(|(i, _)| *i).collect();
    let mut arrays: Vec<(String, Matrix, Vec<f64>)> = vec![];
    for (site, m) in sites.iter().zip(means) {
        if m.tokens != first.tokens {
            return Err(Error::usage("sites of one pass hold different genes").at_key(site.to_string()));
        }
        let variance = places.iter().filter_map(|&i| m.variances.get(i).copied()).collect();
        arrays.push((site.to_string(), m.means.select_rows(&places), variance));
    }
    let n = genes.len();
    let mut tensors: Vec<(String, Vec<usize>, TensorData<'_>)> = vec![
        ("gene".into(), vec![n], TensorData::I64(&genes)),
        ("n_cells".into(), vec![n], TensorData::I64(&counts)),
    ];
    for (site, mean, variance) in &arrays {
        tensors.push((format!("{site}.mean"), vec![n, mean.cols()], TensorData::F32(mean.data())));
        if variance.len() == n {
            tensors.push((format!("{site}.variance"), vec![n], TensorData::F64(variance)));
        }
    }
    for (site, cells) in sites.iter().zip(&view.cells) {
        let shape = vec![cells.rows(), cells.cols()];
        tensors.push((format!("{site}.cells"), shape, TensorData::F32(cells.data())));
    }
    let flow: Vec<f64> =
        view.flow.iter().flat_map(|b| [b.attn_share, b.mlp_share, b.growth, b.speed]).collect();
    if !flow.is_empty() {
        tensors.push(("flow".into(), vec![view.flow.len(), 4], TensorData::F64(&flow)));
    }
    if !view.curvature.is_empty() {
        tensors.push((
            "token_curvature".into(),
            vec![view.curvature.len()],
            TensorData::F64(&view.curvature),
        ));
    }
    let sum = checksum(tensors.iter().map(|(name, _, data)| (name.as_str(), bytes_of(data))));
    write_safetensors(path, &tensors, &[("inputs".into(), inputs.into()), (SUM.into(), sum)])?;
    Ok(n)
}

/// Whether a category was written by an equal run and every number in it is still the one that was written.
pub(crate) fn is_whole(path: &Path, inputs: &str) -> bool {
    let Ok(file) = Checkpoint::open(path) else { return false };
    let stated = |key: &str| file.metadata().iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    if stated("inputs") != Some(inputs) {
        return false;
    }
    let read = |name: &str| match file.info(name).map(|i| i.dtype) {
        Some(DType::F32) => Ok(bytes_of(&TensorData::F32(&file.read_f32(name)?))),
        Some(DType::F64) => Ok(bytes_of(&TensorData::F64(&file.read_f64(name)?))),
        _ => Ok(bytes_of(&TensorData::I64(&file.read_i64(name)?))),
    };
    let all: Result<Vec<_>> = file.names().into_iter().map(|name| Ok((name, read(name)?))).collect();
    all.is_ok_and(|all| stated(SUM) == Some(checksum(all.into_iter()).as_str()))
}

/// Key of the checksum in a file's metadata.
const SUM: &str = "values_sha256";

fn bytes_of(data: &TensorData<'_>) -> Vec<u8> {
    match data {
        TensorData::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// One hash over the hashes of arrays, by name.
fn checksum<'a>(arrays: impl Iterator<Item = (&'a str, Vec<u8>)>) -> String {
    let mut lines: Vec<String> =
        arrays.map(|(name, bytes)| format!("{name} {}\n", hash::of_bytes(&bytes))).collect();
    lines.sort_unstable();
    hash::of_bytes(lines.concat().as_bytes())
}

/// Writes the gene vectors without cells for these genes of the vocabulary. False where the family has none.
pub(crate) fn write_static(path: &Path, model: &dyn Model, genes: &[(u32, usize)]) -> Result<bool> {
    let Some(table) = model.gene_table() else { return Ok(false) };
    let kept: Vec<&(u32, usize)> = genes.iter().filter(|(t, _)| (*t as usize) < table.rows()).collect();
    let places: Vec<usize> = kept.iter().map(|(t, _)| *t as usize).collect();
    let rows: Vec<usize> = kept.iter().map(|(_, row)| *row).collect();
    write_vectors(path, &rows, &table.select_rows(&places))?;
    Ok(true)
}

/// Writes `vectors` `[gene, d]` of these rows of the table of genes.
pub(crate) fn write_vectors(path: &Path, rows: &[usize], vectors: &Matrix) -> Result<()> {
    let rows: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
    let tensors = [
        ("gene".to_string(), vec![rows.len()], TensorData::I64(&rows)),
        ("gene_embedding".to_string(), vec![vectors.rows(), vectors.cols()], TensorData::F32(vectors.data())),
    ];
    write_safetensors(path, &tensors, &[])
}

/// Writes the attention weights of every block; empty where the family has no softmax attention.
pub(crate) fn write_attention(path: &Path, blocks: &[AttentionWeights]) -> Result<Vec<BlockAttention>> {
    if blocks.is_empty() {
        return Ok(vec![]);
    }
    let mut tensors: Vec<(String, Vec<usize>, TensorData<'_>)> = vec![];
    for (i, w) in blocks.iter().enumerate() {
        for (name, m) in [("w_q", &w.w_q), ("w_k", &w.w_k), ("w_v", &w.w_v), ("w_o", &w.w_o)] {
            let shape = vec![m.rows(), m.cols()];
            tensors.push((format!("blocks.{i}.attn.{name}"), shape, TensorData::F32(m.data())));
        }
        for (name, b) in [("b_q", &w.b_q), ("b_k", &w.b_k), ("b_v", &w.b_v), ("b_o", &w.b_o)] {
            if let Some(b) = b {
                tensors.push((format!("blocks.{i}.attn.{name}"), vec![b.len()], TensorData::F32(b)));
            }
        }
        for (which, norm) in [(1, &w.norm1), (2, &w.norm2)] {
            let Some(norm) = norm else { continue };
            for (part, v) in [("weight", Some(&norm.weight)), ("bias", norm.bias.as_ref())] {
                if let Some(v) = v {
                    tensors.push((
                        format!("blocks.{i}.norm{which}.{part}"),
                        vec![v.len()],
                        TensorData::F32(v),
                    ));
                }
            }
        }
    }
    write_safetensors(path, &tensors, &[])?;
    Ok(blocks.iter().map(BlockAttention::of).collect())
}

/// Writes the manifest, which makes the store whole.
pub(crate) fn write_manifest(dir: &Path, manifest: &GeneStoreManifest) -> Result<()> {
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| Error::output("cannot write the manifest as JSON").in_file(dir).caused_by(e))?;
    output::write_atomic(&dir.join(MANIFEST), &text)
}
