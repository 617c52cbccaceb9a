//! The files of a checkpoint: weights, the order of the genes, and the names of the classes.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_weights::{Checkpoint, pickle};

use crate::tokenize::gene_list::folder_of;
use crate::var_names::var_names;

const PRETRAINED: &str = "panglao_pretrain.pth";
/// Name under which untrained models are written.
pub(super) const UNTRAINED: &str = "scbert.safetensors";
const ORDER: &str = "gene_order.txt";
const REFERENCE: &str = "panglao_10000.h5ad";
const LABELS: &str = "label_dict";
/// Largest list of genes that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Where the network lies in the files of the authors' training scripts.
pub(super) const SCOPE: &str = "model_state_dict";

/// The weights that a folder or file means: the pre-trained ones, otherwise the first other `.pth` file.
fn find(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_path_buf());
    }
    if let Some(file) = [PRETRAINED, UNTRAINED].iter().map(|n| path.join(n)).find(|p| p.is_file()) {
        return Some(file);
    }
    let mut others: Vec<PathBuf> = std::fs::read_dir(path)
        .ok()?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.is_file() && p.extension().is_some_and(|e| e == "pth"))
        .collect();
    others.sort();
    others.into_iter().next()
}

/// By the tensors that only this family has; their contents are never read.
pub(super) fn is_ours(path: &Path) -> bool {
    let Some(file) = find(path) else { return false };
    let container = ["pth", "pt", "safetensors"].iter().any(|e| file.extension().is_some_and(|x| x == *e));
    container
        && Checkpoint::open(&file).is_ok_and(|c| {
            let has = |end: &str| c.names().iter().any(|n| n.starts_with(SCOPE) && n.ends_with(end));
            has(".pos_emb.emb.weight") && has(".performer.net.layers.0.0.fn.fast_attention.projection_matrix")
        })
}

/// The weights.
pub(super) fn weights(path: &Path) -> Result<PathBuf> {
    find(path).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(path)
            .expected(format!("{PRETRAINED} or another .pth file"))
            .remedy("ask the authors for it, as the README of github TencentAILabHealthcare/scBERT says")
    })
}

/// The order of the genes, beside the weights or beside the `like` folder.
pub(super) fn gene_order(path: &Path) -> Result<(PathBuf, Vec<String>)> {
    let folder = folder_of(path);
    let text = folder.join(ORDER);
    let reference = folder.join(REFERENCE);
    let (file, genes) = if text.is_file() {
        let genes = read_lines(&text)?;
        (text, genes)
    } else if reference.is_file() {
        let genes = var_names(&reference)?;
        (reference, genes)
    } else {
        return Err(Error::unreadable("the order of the model's genes is missing")
            .in_file(&folder)
            .expected(format!("{REFERENCE}, whose var_names are the genes, or {ORDER} with one symbol a line"))
            .remedy("take panglao_10000.h5ad from where the weights came from"));
    };
    let mut seen = std::collections::HashSet::new();
    match genes.iter().find(|g| g.is_empty() || !seen.insert(g.as_str())) {
        Some(twice) => {
            Err(Error::unreadable("a gene of the order is named twice or not at all").in_file(file).found(twice.clone()))
        }
        None => Ok((file, genes)),
    }
}

fn read_lines(path: &Path) -> Result<Vec<String>> {
    let unreadable =
        |e: std::io::Error| Error::unreadable("cannot read the order of the genes").in_file(path).caused_by(e);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(Error::unreadable("the order of the genes is too large to be one").in_file(path));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().map(|l| l.trim_end().to_string()).collect())
}

/// Writes an order that [`gene_order`] reads.
pub(super) fn write_order(out: &Path, genes: &[String]) -> Result<()> {
    let path = out.join(ORDER);
    let text: String = genes.iter().flat_map(|g| [g.as_str(), "\n"]).collect();
    std::fs::write(&path, text).map_err(|e| Error::output("cannot write the order of the genes").in_file(&path).caused_by(e))
}

/// Names of the classes of a fine-tuned model, where `label_dict` is beside it and has one per class.
pub(super) fn labels(weights: &Path, n_classes: usize) -> Result<Option<(PathBuf, Vec<String>)>> {
    let path = folder_of(weights).join(LABELS);
    if !path.is_file() {
        return Ok(None);
    }
    let value = pickle::read_file(&path)?;
    let names: Option<Vec<String>> = match &value {
        pickle::Value::Array(array) => array.to_strings().ok().or_else(|| {
            let objects = array.to_objects().ok()?;
            objects.iter().map(|o| o.as_str().map(str::to_string)).collect()
        }),
        _ => value.as_list().and_then(|l| l.iter().map(|o| o.as_str().map(str::to_string)).collect()),
    };
    match names {
        Some(names) if names.len() == n_classes => Ok(Some((path, names))),
        other => Err(Error::mismatch("the names of the classes do not belong to the classifier")
            .in_file(path)
            .expected(format!("{n_classes} texts"))
            .found(other.map_or_else(|| value.kind().to_string(), |n| format!("{} texts", n.len())))),
    }
}
