//! Reading a gene store: nothing is trusted beyond what its shapes and hashes show.

use std::path::{Component, Path, PathBuf};

use microtome_core::{Error, Matrix, Result, closest};
use microtome_models::AttentionWeights;
use microtome_weights::Checkpoint;
use serde::{Deserialize, Serialize};

use super::{CategoryFile, FORMAT, GENES, GeneList, GeneStoreManifest, MANIFEST, ModelEntry, VERSION};
use crate::hash;

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 64 << 20;

/// An opened store.
#[derive(Debug)]
pub struct GeneStore {
    dir: PathBuf,
    manifest: GeneStoreManifest,
    genes: GeneList,
}

/// Means of one model, category and site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteMeans {
    /// Rows of the table of genes.
    pub genes: Vec<usize>,
    /// Cells that hold the gene (occurrences where a family takes a gene several times); 0 where an imported store does not say.
    pub n_cells: Vec<u64>,
    /// `[gene, d]`.
    pub mean: Matrix,
    /// Population variance summed over columns, per gene; `None` where an imported store does not say.
    pub variance: Option<Vec<f64>>,
}

/// How the stream moves through one block, mean over the gene tokens of a category's cells; `None` where the family does not offer it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredFlow {
    /// Length of `attn_out` over the length of `resid_pre`.
    pub attn_share: Option<f64>,
    /// Length of `mlp_out` over the length of `resid_mid`.
    pub mlp_share: Option<f64>,
    /// Length of `resid_post` over the length of `resid_pre`.
    pub growth: Option<f64>,
    /// `1 - cos` between `resid_pre` and `resid_post`.
    pub speed: Option<f64>,
    /// Mean angle in radians between successive steps along the order of a cell's gene tokens, after the block; only where the family
    /// puts them into one.
    pub token_curvature: Option<f64>,
}

impl GeneStore {
    /// Opens a store and checks its manifest and table of genes.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let bad = |what: &str| Error::unreadable(what.to_owned()).in_file(&path);
        let size = std::fs::metadata(&path)
            .map_err(|e| {
                bad("no gene store in this folder").caused_by(e).remedy(
                    "name the --out folder of microtome anatomy extract; an unfinished one goes on with --resume",
                )
            })?
            .len();
        if size > MAX_MANIFEST {
            return Err(bad("the manifest is too large to be one").found(format!("{size} bytes")));
        }
        let text = std::fs::read(&path).map_err(|e| bad("cannot read the manifest").caused_by(e))?;
        let manifest: GeneStoreManifest =
            serde_json::from_slice(&text).map_err(|e| bad("the manifest is damaged").caused_by(e))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(Error::unsupported("a gene store of another format or version")
                .in_file(&path)
                .expected(format!("{FORMAT} version {VERSION}"))
                .found(format!("{} version {}", manifest.format, manifest.version)));
        }
        let files =
            manifest.models.iter().flat_map(|m| m.categories.iter().map(|c| &c.file).chain([&m.folder]));
        for name in files {
            let plain = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
            if !plain {
                return Err(bad("a file name of the manifest leaves its folder").found(format!("\"{name}\"")));
            }
        }
        let genes = GeneList::read(&dir.join(GENES))?;
        if genes.len() != manifest.n_genes {
            return Err(bad("the table of genes has another length")
                .expected(manifest.n_genes.to_string())
                .found(genes.len().to_string()));
        }
        Ok(Self { dir: dir.to_path_buf(), manifest, genes })
    }

    /// What the store says about itself.
    pub fn manifest(&self) -> &GeneStoreManifest {
        &self.manifest
    }

    /// The table of genes.
    pub fn genes(&self) -> &GeneList {
        &self.genes
    }

    /// A model by name.
    pub fn model(&self, name: &str) -> Result<&ModelEntry> {
        let names = || self.manifest.models.iter().map(|m| m.name.as_str());
        self.manifest.models.iter().find(|m| m.name == name).ok_or_else(|| {
            Error::usage("no such model in the store")
                .in_file(&self.dir)
                .expected(names().collect::<Vec<_>>().join(", "))
                .found(format!("\"{name}\""))
                .remedy(closest(name, names()).map_or_else(
                    || "list them with: microtome store info".into(),
                    |n| format!("did you mean {n}?"),
                ))
        })
    }

    fn file(&self, model: &ModelEntry, name: &str) -> PathBuf {
        self.dir.join("models").join(&model.folder).join(name)
    }

    /// The file of a category, which every model of the store has.
    fn category_file<'m>(&self, model: &'m ModelEntry, category: &str) -> Result<&'m CategoryFile> {
        model.categories.iter().find(|c| c.category == category).ok_or_else(|| {
            Error::usage("no such category in the store")
                .in_file(&self.dir)
                .at_key(&model.name)
                .found(category)
        })
    }

    /// Means of one site.
    pub fn means(&self, model: &ModelEntry, category: &str, site: &str) -> Result<SiteMeans> {
        let path = self.file(model, &self.category_file(model, category)?.file);
        let file = Checkpoint::open(&path)?;
        let genes = self.rows(&file)?;
        let n_cells = file
            .read_i64("n_cells")?
            .into_iter()
            .map(|n| u64::try_from(n).ok())
            .collect::<Option<Vec<u64>>>()
            .ok_or_else(|| Error::unreadable("a number of cells is below 0").in_file(&path))?;
        let mean = matrix(&file, &format!("{site}.mean"))?;
        let key = format!("{site}.variance");
        let variance = file.info(&key).is_some().then(|| file.read_f64(&key)).transpose()?;
        let n_variances = variance.as_ref().map_or(genes.len(), Vec::len);
        if [n_cells.len(), mean.rows(), n_variances] != [genes.len(); 3] {
            return Err(Error::unreadable("arrays of a category differ in length")
                .in_file(&path)
                .at_key(site)
                .expected(format!("{} genes", genes.len()))
                .found(format!("{}, {} and {n_variances}", n_cells.len(), mean.rows())));
        }
        Ok(SiteMeans { genes, n_cells, mean, variance })
    }

    /// Vectors of the cells of a category at one site, `[cell, d]` in the order in which they were drawn; a cell without gene tokens is a
    /// row of NaN. `None` where the store holds none.
    pub fn cells(&self, model: &ModelEntry, category: &str, site: &str) -> Result<Option<Matrix>> {
        let file = Checkpoint::open(&self.file(model, &self.category_file(model, category)?.file))?;
        let key = format!("{site}.cells");
        file.info(&key).is_some().then(|| matrix(&file, &key)).transpose()
    }

    /// How the stream moves through every block; empty where the store does not say.
    pub fn flow(&self, model: &ModelEntry, category: &str) -> Result<Vec<StoredFlow>> {
        let file = Checkpoint::open(&self.file(model, &self.category_file(model, category)?.file))?;
        if file.info("flow").is_none() {
            return Ok(vec![]);
        }
        let number = |v: f64| Some(v).filter(|v| v.is_finite());
        let values = file.read_f64("flow")?;
        let curvature = match file.info("token_curvature") {
            Some(_) => file.read_f64("token_curvature")?,
            None => vec![],
        };
        let of = |(block, v): (usize, &[f64; 4])| StoredFlow {
            attn_share: number(v[0]),
            mlp_share: number(v[1]),
            growth: number(v[2]),
            speed: number(v[3]),
            token_curvature: curvature.get(block).copied().and_then(number),
        };
        Ok(values.as_chunks::<4>().0.iter().enumerate().map(of).collect())
    }

    /// Gene vectors without cells: rows of the table of genes and `[gene, d]`; `None` where the family has none.
    pub fn static_vectors(&self, model: &ModelEntry) -> Result<Option<(Vec<usize>, Matrix)>> {
        if model.static_sha256.is_none() {
            return Ok(None);
        }
        let file = Checkpoint::open(&self.file(model, "static.safetensors"))?;
        let (genes, vectors) = (self.rows(&file)?, matrix(&file, "gene_embedding")?);
        if genes.len() != vectors.rows() {
            return Err(Error::unreadable("static gene vectors and their genes differ in number")
                .in_file(file.path()));
        }
        Ok(Some((genes, vectors)))
    }

    /// Attention weights of every block; empty where the family has no softmax attention.
    pub fn attention(&self, model: &ModelEntry) -> Result<Vec<AttentionWeights>> {
        if model.attention.is_empty() {
            return Ok(vec![]);
        }
        let file = Checkpoint::open(&self.file(model, "attention.safetensors"))?;
        model.attention.iter().enumerate().map(|(i, b)| b.read(&file, i)).collect()
    }

    /// Names of files whose hash is not the manifest's.
    pub fn damaged(&self) -> Result<Vec<PathBuf>> {
        let mut files = vec![(self.dir.join(GENES), self.manifest.genes_sha256.clone())];
        for m in &self.manifest.models {
            let shared = [("static", &m.static_sha256), ("attention", &m.attention_sha256)];
            for (name, sha) in shared {
                let path = self.file(m, &format!("{name}.safetensors"));
                files.extend(sha.clone().map(|sha| (path, sha)));
            }
            files.extend(m.categories.iter().map(|c| (self.file(m, &c.file), c.sha256.clone())));
        }
        let mut out = vec![];
        for (path, sha) in files {
            if !path.is_file() || hash::input_file("store", &path)?.sha256 != sha {
                out.push(path);
            }
        }
        Ok(out)
    }

    fn rows(&self, file: &Checkpoint) -> Result<Vec<usize>> {
        let rows = file.read_i64("gene")?;
        let rows: Option<Vec<usize>> =
            rows.into_iter().map(|r| usize::try_from(r).ok().filter(|r| *r < self.genes.len())).collect();
        rows.ok_or_else(|| {
            Error::unreadable("a gene of a file is not in the table of genes")
                .in_file(file.path())
                .expected(format!("rows 0 to {}", self.genes.len().saturating_sub(1)))
        })
    }
}

/// A tensor of two axes.
pub(crate) fn matrix(file: &Checkpoint, name: &str) -> Result<Matrix> {
    match file.info(name).map(|i| i.shape.clone()).as_deref() {
        Some(&[rows, cols]) => Matrix::new(rows, cols, file.read_f32(name)?),
        other => Err(Error::unreadable("the file has no such matrix")
            .in_file(file.path())
            .at_key(name)
            .found(format!("{other:?}"))),
    }
}
