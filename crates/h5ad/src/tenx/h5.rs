//! 10x `.h5` files.

use std::path::Path;

use microtome_core::{Error, Result, Table};

use super::features::Features;
use crate::column::{Reader, Source};
use crate::dataset::Format;
use crate::hdf5::{Group, Node};
use crate::matrix::MatrixReader;
use crate::sparse::GeneMap;

/// An open 10x `.h5` file.
#[derive(Debug)]
pub(crate) struct TenxH5 {
    group: Group,
    n_cells: usize,
    genes: GeneMap,
    var: Table,
}

impl TenxH5 {
    /// Opens the matrix of a file; `None` when this is not a 10x file.
    pub(crate) fn open(root: &Group) -> Result<Option<(Self, Format, Vec<String>)>> {
        if root.has("matrix") {
            let group = root.group("matrix")?;
            if !group.has("barcodes") || !group.has("features") {
                return Ok(None);
            }
            let list = group.group("features")?;
            let column = |name: &str| if list.has(name) { list.array(name)?.texts() } else { Ok(vec![]) };
            let features = Features {
                ids: list.array("id")?.texts()?,
                names: column("name")?,
                types: column("feature_type")?,
                genomes: column("genome")?,
            };
            return Self::new(group, features, Format::TenxH5V3).map(Some);
        }
        let mut genomes = vec![];
        for name in root.names() {
            if let Node::Group(group) = root.node(name)?
                && ["barcodes", "genes", "data", "indices", "indptr"].iter().all(|n| group.has(n))
            {
                genomes.push((name.to_string(), group));
            }
        }
        if genomes.len() > 1 {
            let names: Vec<&str> = genomes.iter().map(|(n, _)| n.as_str()).collect();
            return Err(Error::unsupported("10x file with several genomes")
                .expected("one genome")
                .found(names.join(", "))
                .remedy("in Python: scanpy.read_10x_h5(PATH, genome=NAME).write_h5ad(\"cells.h5ad\")"));
        }
        let Some((genome, group)) = genomes.pop() else { return Ok(None) };
        let ids = group.array("genes")?.texts()?;
        let names = if group.has("gene_names") { group.array("gene_names")?.texts()? } else { vec![] };
        let features = Features { genomes: vec![genome; ids.len()], ids, names, types: vec![] };
        Self::new(group, features, Format::TenxH5V2).map(Some)
    }

    fn new(group: Group, features: Features, format: Format) -> Result<(Self, Format, Vec<String>)> {
        let n_cells = group.array("barcodes")?.len();
        let n_features = features.ids.len();
        if group.has("shape") {
            let shape = group.array("shape")?.integers()?;
            if shape != [n_features as i64, n_cells as i64] {
                return Err(Error::unreadable("matrix and names disagree")
                    .at_key(group.child_key("shape"))
                    .expected(format!("[{n_features}, {n_cells}] (features x barcodes)"))
                    .found(format!("{shape:?}")));
            }
        }
        let (var, genes, notes) = features.genes(group.key())?;
        Ok((Self { group, n_cells, genes, var }, format, notes))
    }

    pub(crate) fn n_cells(&self) -> usize {
        self.n_cells
    }

    pub(crate) fn n_genes(&self) -> usize {
        self.genes.n_kept
    }

    pub(crate) fn var(&self) -> &Table {
        &self.var
    }

    pub(crate) fn barcodes(&self) -> Result<Vec<String>> {
        self.group.array("barcodes")?.texts()
    }

    pub(crate) fn barcode_reader(&self) -> Result<Reader> {
        Reader::plain(Source::Array(self.group.array("barcodes")?))
    }

    pub(crate) fn matrix(&self, path: &Path) -> Result<MatrixReader> {
        MatrixReader::tenx(path, &self.group, self.n_cells, self.genes.map.len(), self.genes.clone())
    }
}
