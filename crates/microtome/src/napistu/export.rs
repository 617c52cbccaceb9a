//! From a gene store to a store that Napistu-Torch loads.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Matrix, Result};
use microtome_models::AttentionWeights;
use microtome_weights::{NamedMatrix, NpzMember, write_npz};
use serde::Serialize;
use serde_json::json;

use super::pages::{Block, annotations, index};
use super::{INDEX, METADATA, RESIDUALS, WEIGHTS};
use crate::anatomy::norm_of;
use crate::gene_store::{Gene, GeneStore, ModelEntry, stem_of};
use crate::output;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// One folder per model.
    pub folders: Vec<PathBuf>,
    /// Models that the format cannot hold, with the reason.
    pub left_out: Vec<(String, String)>,
    /// Things to know.
    pub notes: Vec<String>,
}

/// Writes every model of a store, or those named, into folders of `out`. With `normed`, streams of pre-LN models are written after
/// the norm that their queries and keys are made of; without, as Napistu-Torch's own extraction does.
///
/// Errors when a model that is named cannot be held; without names such models are left out and reported.
pub fn export(store: &Path, models: &[String], normed: bool, out: &Path) -> Result<ExportReport> {
    let store = GeneStore::open(store)?;
    let chosen: Vec<&ModelEntry> = if models.is_empty() {
        store.manifest().models.iter().collect()
    } else {
        models.iter().map(|m| store.model(m)).collect::<Result<_>>()?
    };
    let mut report = ExportReport { folders: vec![], left_out: vec![], notes: vec![] };
    for model in chosen {
        let folder = out.join(&model.folder);
        match Export::new(&store, model, normed) {
            Ok(export) => export.write(&folder)?,
            Err(e) if models.is_empty() => {
                report.left_out.push((model.name.clone(), e.to_string()));
                continue;
            }
            Err(e) => return Err(e),
        }
        report.folders.push(folder);
        if model.attention.iter().any(|b| b.norm_before) && !normed {
            report.notes.push(format!(
                "{}: queries and keys are made of the normed stream, and the streams were written as they are; --normed writes what the projections take",
                model.name
            ));
        }
    }
    if report.folders.is_empty() {
        return Err(Error::unsupported("no model of this store fits into Napistu-Torch's format").found(
            report.left_out.iter().map(|(m, why)| format!("{m}: {why}")).collect::<Vec<_>>().join("; "),
        ));
    }
    Ok(report)
}

struct Export<'a> {
    store: &'a GeneStore,
    model: &'a ModelEntry,
    normed: bool,
    blocks: Vec<AttentionWeights>,
    /// Rows of the table of genes, and the vectors.
    fixed: (Vec<usize>, Matrix),
}

impl<'a> Export<'a> {
    fn new(store: &'a GeneStore, model: &'a ModelEntry, normed: bool) -> Result<Self> {
        let refuse = |what: &str| Error::unsupported(what.to_owned()).at_key(&model.name);
        let blocks = store.attention(model)?;
        let (Some(first), d) = (blocks.first(), model.d_model) else {
            return Err(refuse("the family has no softmax attention, and Napistu-Torch needs its weights"));
        };
        if first.soft_cap.is_some() {
            return Err(refuse("scores with a soft cap cannot be stated"));
        }
        if first.n_heads * first.d_head != d {
            return Err(refuse("queries must be as wide as the stream")
                .expected(d.to_string())
                .found(format!("{} heads of {}", first.n_heads, first.d_head)));
        }
        let fixed = store.static_vectors(model)?;
        let fixed = fixed.filter(|(genes, m)| m.cols() == d && !genes.is_empty()).ok_or_else(|| {
            refuse("Napistu-Torch needs gene vectors without cells, as wide as the stream, and the family has none")
        })?;
        let export = Self { store, model, normed, blocks, fixed };
        for i in 0..model.n_blocks {
            export.site_into(i)?;
        }
        Ok(export)
    }

    /// The site that enters block `i`, among those stored.
    fn site_into(&self, i: usize) -> Result<String> {
        let before = if i == 0 { "embed".to_string() } else { format!("blocks.{}.resid_post", i - 1) };
        let names = [format!("blocks.{i}.resid_pre"), before];
        let there = |name: &&String| self.model.sites.iter().any(|s| s.site == **name);
        names.iter().find(there).cloned().ok_or_else(|| {
            Error::unsupported("the store does not hold the stream that enters every block")
                .at_key(&self.model.name)
                .expected(names.join(" or "))
                .remedy("extract with --sites 'embed,blocks.*.resid_post'")
        })
    }

    fn write(&self, out: &Path) -> Result<()> {
        let residuals = out.join(RESIDUALS);
        std::fs::create_dir_all(&residuals)
            .map_err(|e| Error::output("cannot make the folder").in_file(&residuals).caused_by(e))?;
        self.write_weights(&out.join(WEIGHTS))?;
        let mut stems = Vec::new();
        for category in &self.model.categories {
            let stem = stem_of(&format!("{}_{}", self.store.manifest().dataset, category.category));
            self.write_category(&residuals, &stem, &category.category)?;
            stems.push((category.category.clone(), stem));
        }
        let text = index(&self.store.manifest().dataset, &stems);
        output::write_atomic(&out.join(INDEX), text.as_bytes())?;
        // Last, since Napistu-Torch takes a folder with this file for a store.
        write_json(&out.join(METADATA), &self.metadata())
    }

    fn genes(&self, rows: &[usize]) -> Vec<&Gene> {
        rows.iter().map(|&r| &self.store.genes().genes[r]).collect()
    }

    fn write_weights(&self, path: &Path) -> Result<()> {
        // Keys and values that several query heads share are repeated for each of them.
        let repeated: Vec<[Matrix; 2]> =
            self.blocks.iter().map(|w| [&w.w_k, &w.w_v].map(|m| repeat(m, w))).collect();
        let mut layers = Vec::new();
        for (i, (w, [k, v])) in self.blocks.iter().zip(&repeated).enumerate() {
            let parts = [("W_q", &w.w_q), ("W_k", k), ("W_v", v), ("W_o", &w.w_o)];
            let layer: Vec<NamedMatrix<'_>> = parts
                .into_iter()
                .map(|(name, m)| (name.to_string(), [m.rows(), m.cols()], m.data()))
                .collect();
            layers.push((format!("layer_{i:02}"), layer));
        }
        let (_, vectors) = &self.fixed;
        let shape = vec![vectors.rows(), vectors.cols()];
        let mut members = vec![
            ("static_gene_embeddings".to_string(), NpzMember::F32 { shape, data: vectors.data() }),
            ("attention_weights".to_string(), NpzMember::Nested(layers)),
        ];
        for (i, w) in self.blocks.iter().enumerate() {
            let mut more: Vec<(String, Option<&Vec<f32>>)> = vec![];
            for (name, b) in [("b_q", &w.b_q), ("b_k", &w.b_k), ("b_v", &w.b_v), ("b_o", &w.b_o)] {
                more.push((format!("blocks.{i}.attn.{name}"), b.as_ref()));
            }
            for (which, norm) in [(1, &w.norm1), (2, &w.norm2)] {
                more.push((format!("blocks.{i}.norm{which}.weight"), norm.as_ref().map(|n| &n.weight)));
                let bias = norm.as_ref().and_then(|n| n.bias.as_ref());
                more.push((format!("blocks.{i}.norm{which}.bias"), bias));
            }
            members.extend(more.into_iter().filter_map(|(name, v)| {
                let data = v?.as_slice();
                Some((name, NpzMember::F32 { shape: vec![data.len()], data }))
            }));
        }
        write_npz(path, &members)
    }

    fn metadata(&self) -> serde_json::Value {
        let (rows, _) = &self.fixed;
        let genes = self.genes(rows);
        let annotations = annotations(&genes);
        let block =
            Block { genes: &genes, model: self.model, layer: None, dataset: None, uri: None, category: None };
        json!({
            "model_metadata": {
                "model_name": self.model.name,
                "model_variant": null,
                "n_genes": genes.len(),
                "n_vocab": genes.len(),
                "ordered_vocabulary": genes.iter().map(|g| &g.id).collect::<Vec<_>>(),
                "embed_dim": self.model.d_model,
                "n_layers": self.model.n_blocks,
                "n_heads": self.model.n_heads,
            },
            "gene_annotations": annotations,
            "static_gene_embeddings": block.json(&annotations),
            "microtome": {
                "version": crate::card::VERSION,
                "family": self.model.family,
                "variant": self.model.variant,
                "norm_placement": self.model.norm_placement,
                "site": if self.normed { "what the projections of each block take: the stream that enters it, normed in pre-LN models" } else { "the stream that enters each block" },
                "pooling": self.store.manifest().pooling,
                "seed": self.store.manifest().seed,
                "attention": self.model.attention,
                "inputs": self.model.inputs,
            },
        })
    }

    fn write_category(&self, folder: &Path, stem: &str, category: &str) -> Result<()> {
        let manifest = self.store.manifest();
        let uri = manifest.inputs.first().map(|f| f.path.as_str());
        let mut layers: Vec<Matrix> = Vec::with_capacity(self.model.n_blocks);
        let mut records = Vec::with_capacity(self.model.n_blocks);
        for i in 0..self.model.n_blocks {
            let means = self.store.means(self.model, category, &self.site_into(i)?)?;
            let genes = self.genes(&means.genes);
            let annotations = annotations(&genes);
            let dataset = Some(manifest.dataset.as_str());
            let block = Block {
                genes: &genes,
                model: self.model,
                layer: Some(i),
                dataset,
                uri,
                category: Some(category),
            };
            records.push(block.json(&annotations));
            let norm = if self.normed { norm_of(&self.blocks[i]) } else { None };
            layers.push(match norm {
                Some(norm) => norm.apply(&means.mean)?,
                None => means.mean,
            });
        }
        let members: Vec<(String, NpzMember<'_>)> = layers
            .iter()
            .enumerate()
            .map(|(i, m)| {
                (format!("layer_{i}"), NpzMember::F32 { shape: vec![m.rows(), m.cols()], data: m.data() })
            })
            .collect();
        write_npz(&folder.join(format!("{stem}.npz")), &members)?;
        write_json(&folder.join(format!("{stem}_metadata.json")), &records.into())
    }
}

/// Every key or value head repeated for the query heads that use it.
fn repeat(m: &Matrix, w: &AttentionWeights) -> Matrix {
    let group = w.n_heads / w.n_kv_heads.max(1);
    let rows: Vec<usize> =
        (0..w.n_heads).flat_map(|h| (0..w.d_head).map(move |j| h / group.max(1) * w.d_head + j)).collect();
    m.select_rows(&rows)
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|e| Error::output("cannot write JSON").in_file(path).caused_by(e))?;
    output::write_atomic(path, &text)
}
