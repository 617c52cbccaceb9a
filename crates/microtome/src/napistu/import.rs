//! From a store of Napistu-Torch to a gene store. Pickles are read as data through an allow-list; nothing is executed.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use microtome_core::{Error, InputFile, Matrix, Result, Role};
use microtome_models::taps::GeneMeans;
use microtome_models::{AttentionWeights, NormPlace};
use microtome_weights::{Checkpoint, Value};
use serde::Serialize;

use super::{INDEX, METADATA, RESIDUALS, WEIGHTS, json};
use crate::card::VERSION;
use crate::gene_store::{
    self, CategoryEntry, CategoryFile, FORMAT, GENES, Gene, GeneList, GeneStoreManifest, MANIFEST,
    ModelEntry, SiteEntry, stem_of, write_manifest,
};
use crate::{hash, output};

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct ImportReport {
    /// Folder of the gene store.
    pub out: PathBuf,
    /// Model.
    pub model: String,
    /// Blocks.
    pub n_blocks: usize,
    /// Categories.
    pub categories: Vec<String>,
    /// Genes in the table.
    pub n_genes: usize,
    /// Things to know.
    pub notes: Vec<String>,
}

/// Reads the store in the folder `from` (one model; one of its data sets, `dataset` where it has several) and writes a gene store.
pub fn import(
    from: &Path,
    dataset: Option<&str>,
    out: &Path,
    overwrite: bool,
    command: &[String],
) -> Result<ImportReport> {
    output::check_folder(out, MANIFEST, false, overwrite)?;
    let metadata_path = from.join(METADATA);
    let metadata = json::read(&metadata_path)?;
    let (dataset, stems) = read_index(from, dataset)?;
    let weights = Checkpoint::open(&from.join(WEIGHTS))?;
    let mut table = Table::default();
    let model = Model::read(&metadata, &weights, &mut table).map_err(|e| e.in_file(&metadata_path))?;

    output::make_folder(out, MANIFEST, overwrite)?;
    let folder = stem_of(&model.name);
    let at = out.join("models").join(&folder);
    std::fs::create_dir_all(&at)
        .map_err(|e| Error::output("cannot make the model's folder").in_file(&at).caused_by(e))?;
    let mut files = vec![metadata_path, from.join(WEIGHTS)];
    let (mut categories, mut entries, mut sites) = (Vec::new(), Vec::new(), Vec::new());
    for (category, stem) in &stems {
        let stem = from.join(RESIDUALS).join(stem);
        let (arrays, sidecar) = (with_ending(&stem, ".npz"), with_ending(&stem, "_metadata.json"));
        let layers = Layers::read(&arrays, &sidecar, &mut table)?;
        files.extend([arrays, sidecar]);
        let file = format!("{}.safetensors", stem_of(category));
        let n_genes = layers.write(&at.join(&file), &hash::of_bytes(stem.to_string_lossy().as_bytes()))?;
        if sites.is_empty() {
            sites = layers.site_entries(model.n_blocks);
        }
        categories.push(CategoryEntry { name: category.clone(), keys: vec![], n_available: 0, n_cells: 0 });
        let sha256 = hash::input_file("store", &at.join(&file))?.sha256;
        entries.push(CategoryFile { category: category.clone(), file, sha256, n_genes });
    }
    let attention = gene_store::write_attention(&at.join("attention.safetensors"), &model.blocks)?;
    let sha = |name: &str| hash::input_file("store", &at.join(name)).map(|f| f.sha256);
    gene_store::write_vectors(&at.join("static.safetensors"), &model.fixed.0, &model.fixed.1)?;
    let genes = GeneList { genes: table.genes };
    genes.write(&out.join(GENES))?;
    let inputs: Vec<InputFile> =
        files.iter().map(|f| hash::input_file("napistu store", f)).collect::<Result<_>>()?;
    let entry = ModelEntry {
        name: model.name.clone(),
        folder,
        family: model.family,
        variant: model.variant,
        role: Role::Model,
        twin_of: None,
        inputs: inputs.clone(),
        norm_placement: "not stated by the imported store".into(),
        n_blocks: model.n_blocks,
        d_model: model.d_model,
        n_heads: model.n_heads,
        choices: serde_json::Map::new(),
        static_sha256: Some(sha("static.safetensors")?),
        attention_sha256: if attention.is_empty() { None } else { Some(sha("attention.safetensors")?) },
        attention,
        sites,
        categories: entries,
    };
    let manifest = GeneStoreManifest {
        format: FORMAT.into(),
        version: gene_store::VERSION,
        microtome: VERSION.into(),
        command: command.to_vec(),
        dataset,
        inputs,
        slot: "not stated by the imported store".into(),
        gene_namespace: "ensembl_id".into(),
        n_genes: genes.len(),
        genes_sha256: hash::input_file("store", &out.join(GENES))?.sha256,
        category_columns: vec![],
        categories,
        max_cells_per_category: 0,
        seed: 0,
        pooling: "not stated by the imported store".into(),
        models: vec![entry],
    };
    write_manifest(out, &manifest)?;
    Ok(ImportReport {
        out: out.to_path_buf(),
        model: model.name,
        n_blocks: model.n_blocks,
        categories: stems.into_iter().map(|(c, _)| c).collect(),
        n_genes: genes.len(),
        notes: vec![
            "the format states no biases, norms, cell counts, seeds or sites; layer i is taken as the stream that enters block i".into(),
        ],
    })
}

fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    stem.with_file_name(name)
}

/// The data set and its categories with their stems.
fn read_index(from: &Path, wanted: Option<&str>) -> Result<(String, Vec<(String, String)>)> {
    let path = from.join(INDEX);
    if !path.is_file() {
        return Ok((wanted.unwrap_or("none").to_string(), vec![]));
    }
    let bad = |what: &str| Error::unreadable(what.to_owned()).in_file(&path);
    let all = microtome_models::read_yaml(&path)?;
    let datasets = all.get("datasets").and_then(|d| d.as_object()).cloned().unwrap_or_default();
    let names: Vec<&String> = datasets.keys().collect();
    let name = match (wanted, names.as_slice()) {
        (Some(w), _) if datasets.contains_key(w) => w.to_string(),
        (None, [one]) => (*one).clone(),
        (None, []) => return Ok(("none".into(), vec![])),
        _ => {
            let all: Vec<&str> = names.iter().map(|n| n.as_str()).collect();
            return Err(Error::usage("the store holds several data sets, or none of this name")
                .in_file(&path)
                .expected(format!("--dataset with one of: {}", all.join(", "))));
        }
    };
    let categories =
        datasets[&name].as_object().ok_or_else(|| bad("a data set of the index is no mapping"))?;
    let mut stems = Vec::new();
    for (category, stem) in categories {
        let stem = stem.as_str().map_or_else(|| stem.to_string(), String::from);
        if !Path::new(&stem).components().eq([Component::Normal(stem.as_ref())]) {
            return Err(bad("a file name of the index leaves its folder").found(format!("\"{stem}\"")));
        }
        stems.push((category.clone(), stem));
    }
    Ok((name, stems))
}

/// The table of genes as it grows.
#[derive(Default)]
struct Table {
    genes: Vec<Gene>,
    rows: HashMap<String, usize>,
}

impl Table {
    /// Rows of the genes of a block.
    fn rows_of(&mut self, block: &serde_json::Value) -> Result<Vec<usize>> {
        let ids = json::texts(block, "ordered_genes")?;
        let records = json::records(block, "gene_annotations")?;
        if ids.len() != records.len() {
            return Err(Error::unreadable("genes and their annotations differ in number")
                .expected(ids.len().to_string())
                .found(records.len().to_string()));
        }
        let mut seen = std::collections::HashSet::new();
        ids.into_iter()
            .zip(records)
            .map(|(id, record)| {
                if !seen.insert(id.clone()) {
                    return Err(Error::unreadable("a gene is named twice").at_key(id));
                }
                let field =
                    |key: &str| record.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_string();
                let next = self.genes.len();
                let row = *self.rows.entry(id.clone()).or_insert(next);
                if row == next {
                    self.genes.push(Gene { id, symbol: field("symbol"), var_name: field("vocab_name") });
                }
                Ok(row)
            })
            .collect()
    }
}

struct Model {
    name: String,
    family: String,
    variant: String,
    n_blocks: usize,
    d_model: usize,
    n_heads: usize,
    blocks: Vec<AttentionWeights>,
    fixed: (Vec<usize>, Matrix),
}

impl Model {
    fn read(metadata: &serde_json::Value, weights: &Checkpoint, table: &mut Table) -> Result<Self> {
        let about = metadata.get("model_metadata").ok_or_else(|| Error::unreadable("no model_metadata"))?;
        let family = json::text(about, "model_name")?.to_string();
        let variant = about.get("model_variant").and_then(|v| v.as_str()).unwrap_or_default().to_string();
        let name = if variant.is_empty() { family.clone() } else { format!("{family}_{variant}") };
        let (n_blocks, n_heads) = (json::number(about, "n_layers")?, json::number(about, "n_heads")?);
        let d_model = json::number(about, "embed_dim")?;
        if n_heads == 0 || !d_model.is_multiple_of(n_heads) {
            return Err(
                Error::unreadable("heads do not divide the width").found(format!("{d_model} by {n_heads}"))
            );
        }
        let block = metadata
            .get("static_gene_embeddings")
            .ok_or_else(|| Error::unreadable("no static_gene_embeddings in the metadata"))?;
        let rows = table.rows_of(block)?;
        let vectors = gene_store::matrix(weights, "static_gene_embeddings")?;
        if vectors.rows() != rows.len() {
            return Err(Error::unreadable("static gene vectors and their genes differ in number")
                .expected(rows.len().to_string())
                .found(vectors.rows().to_string()));
        }
        let blocks = attention(weights, n_heads, d_model)?;
        if blocks.len() != n_blocks {
            return Err(Error::unreadable("attention layers differ in number from n_layers")
                .expected(n_blocks.to_string())
                .found(blocks.len().to_string()));
        }
        Ok(Self { name, family, variant, n_blocks, d_model, n_heads, blocks, fixed: (rows, vectors) })
    }
}

/// The pickled dictionary, by the numbers of its keys.
fn attention(weights: &Checkpoint, n_heads: usize, d: usize) -> Result<Vec<AttentionWeights>> {
    let key = "attention_weights";
    let bad = |what: &str| Error::unreadable(what.to_owned()).in_file(weights.path()).at_key(key);
    let objects = match weights.value(key) {
        Some(Value::Array(array)) => array.to_objects()?,
        _ => return Err(bad("the attention weights are not a NumPy object array")),
    };
    let [one] = objects.as_slice() else { return Err(bad("the attention weights are not one dictionary")) };
    let layers = one.as_dict().ok_or_else(|| bad("the attention weights are not a dictionary"))?;
    let mut numbered = Vec::new();
    for (name, layer) in layers.entries() {
        let number = name.as_str().and_then(|n| n.strip_prefix("layer_")?.parse::<usize>().ok());
        numbered
            .push((number.ok_or_else(|| bad("a key of the attention weights is not layer_NUMBER"))?, layer));
    }
    numbered.sort_by_key(|(n, _)| *n);
    if !numbered.iter().map(|(n, _)| *n).eq(0..numbered.len()) {
        return Err(bad("layers are not numbered from 0 without gaps"));
    }
    numbered
        .into_iter()
        .map(|(i, layer)| {
            let matrix = |name: &str| -> Result<Matrix> {
                let array = match layer.get(name) {
                    Some(Value::Array(array)) => array,
                    _ => return Err(bad("a matrix is missing").found(format!("layer_{i}, {name}"))),
                };
                match array.shape() {
                    &[rows, cols] if (rows, cols) == (d, d) => Matrix::new(rows, cols, array.to_f32()?),
                    other => Err(bad("a matrix has another shape")
                        .expected(format!("[{d}, {d}]"))
                        .found(format!("layer_{i}, {name}: {other:?}"))),
                }
            };
            let d_head = d / n_heads;
            let (w_q, w_k) = (matrix("W_q")?, matrix("W_k")?);
            let (w_v, w_o) = (matrix("W_v")?, matrix("W_o")?);
            Ok(AttentionWeights {
                n_heads,
                n_kv_heads: n_heads,
                d_head,
                scale: (1.0 / (d_head as f64).sqrt()) as f32,
                soft_cap: None,
                w_q,
                w_k,
                w_v,
                w_o,
                b_q: None,
                b_k: None,
                b_v: None,
                b_o: None,
                norm_place: NormPlace::AfterAttention,
                norm1: None,
                norm2: None,
            })
        })
        .collect()
}

/// The layers of one category.
struct Layers {
    rows: Vec<usize>,
    layers: Vec<(usize, Matrix)>,
}

impl Layers {
    fn read(arrays: &Path, sidecar: &Path, table: &mut Table) -> Result<Self> {
        let file = Checkpoint::open(arrays)?;
        let records = json::read(sidecar)?;
        let bad = |what: &str| Error::unreadable(what.to_owned()).in_file(sidecar);
        let records = records.as_array().ok_or_else(|| bad("the sidecar is not a list"))?;
        let mut out = Self { rows: vec![], layers: vec![] };
        for (at, record) in records.iter().enumerate() {
            let layer = json::number(record, "layer_idx").map_err(|e| e.in_file(sidecar))?;
            let rows = table.rows_of(record).map_err(|e| e.in_file(sidecar))?;
            if at > 0 && rows != out.rows {
                return Err(
                    Error::unsupported("layers of one category hold different genes").in_file(sidecar)
                );
            }
            out.rows = rows;
            let m = gene_store::matrix(&file, &format!("layer_{layer}"))?;
            if m.rows() != out.rows.len() {
                return Err(bad("a layer and its genes differ in number").at_key(format!("layer_{layer}")));
            }
            out.layers.push((layer, m));
        }
        out.layers.sort_by_key(|(i, _)| *i);
        if out.layers.is_empty() || out.layers.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err(bad("a category holds no layers, or one twice"));
        }
        Ok(out)
    }

    fn site_entries(&self, n_blocks: usize) -> Vec<SiteEntry> {
        let depth = |i: usize| (n_blocks > 0).then(|| i as f64 / n_blocks as f64);
        let entry = |(i, m): &(usize, Matrix)| SiteEntry {
            site: format!("blocks.{i}.resid_pre"),
            depth: depth(*i),
            width: m.cols(),
        };
        self.layers.iter().map(entry).collect()
    }

    fn write(&self, path: &Path, inputs: &str) -> Result<usize> {
        let sites: Vec<_> = self
            .layers
            .iter()
            .map(|(i, _)| microtome_core::Site::Block(*i, microtome_core::BlockSite::ResidPre))
            .collect();
        let means: Vec<GeneMeans> = self
            .layers
            .iter()
            .map(|(_, m)| GeneMeans {
                tokens: (0..self.rows.len() as u32).collect(),
                counts: vec![0; self.rows.len()],
                means: m.clone(),
                variances: vec![],
            })
            .collect();
        let none = gene_store::CellView::default();
        let row_of = |t: u32| self.rows.get(t as usize).copied();
        gene_store::write_category(path, &sites, &means, &none, &row_of, inputs)
    }
}
