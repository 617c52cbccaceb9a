//! The layout of an `.h5ad` file.

use std::path::Path;

use microtome_core::{Error, Matrix, Result};
use serde_json::{Map, Value};

use crate::frame::Frame;
use crate::hdf5::{Group, Node};
use crate::matrix::MatrixReader;
use crate::slot::Slot;
use crate::{dense, uns};

/// An open `.h5ad` file.
#[derive(Debug)]
pub(crate) struct AnnData {
    root: Group,
    obs: Frame,
    var: Frame,
    n_cells: usize,
    n_genes: usize,
    /// Names in the groups of aligned arrays.
    aligned: Vec<(&'static str, Vec<String>)>,
}

impl AnnData {
    pub(crate) fn open(root: Group) -> Result<Self> {
        let obs = Frame::open(&root, &root, "obs")?;
        let var = Frame::open(&root, &root, "var")?;
        let (n_cells, n_genes) = (obs.len()?, var.len()?);
        let mut aligned = vec![];
        for place in ["layers", "obsm", "varm", "obsp"] {
            if root.has(place) {
                aligned.push((place, root.group(place)?.names().map(str::to_string).collect()));
            }
        }
        Ok(Self { root, obs, var, n_cells, n_genes, aligned })
    }

    pub(crate) fn n_cells(&self) -> usize {
        self.n_cells
    }

    pub(crate) fn obs(&self) -> &Frame {
        &self.obs
    }

    /// `raw` as a group; files before anndata 0.7 have `raw.X` and `raw.var` at the top instead.
    fn raw(&self) -> Result<Option<(Group, &'static str, &'static str)>> {
        if self.root.has("raw") {
            return Ok(Some((self.root.group("raw")?, "X", "var")));
        }
        let old = self.root.has("raw.X") && self.root.has("raw.var");
        Ok(old.then(|| (self.root.clone(), "raw.X", "raw.var")))
    }

    fn raw_or_error(&self) -> Result<(Group, &'static str, &'static str)> {
        self.raw()?.ok_or_else(|| Error::usage("the file has no raw matrix").at_key("raw"))
    }

    pub(crate) fn var(&self, slot: &Slot) -> Result<Frame> {
        match slot {
            Slot::X | Slot::Layer(_) => Ok(self.var.clone()),
            Slot::Raw => {
                let (parent, _, var) = self.raw_or_error()?;
                Frame::open(&self.root, &parent, var)
            }
        }
    }

    pub(crate) fn n_genes(&self, slot: &Slot) -> Result<usize> {
        match slot {
            Slot::X | Slot::Layer(_) => Ok(self.n_genes),
            Slot::Raw => self.var(slot)?.len(),
        }
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![];
        // An absent X is stored as nothing, or as an empty dataset marked "null".
        // A damaged one is listed, so that opening it says what is wrong.
        if self.root.has("X") && !self.root.node("X").is_ok_and(|node| is_null(&node)) {
            slots.push(Slot::X);
        }
        slots.extend(self.aligned_names("layers").into_iter().map(Slot::Layer));
        if self.raw().is_ok_and(|raw| raw.is_none_or(|(parent, x, _)| !parent.has(x))) {
            return slots;
        }
        slots.push(Slot::Raw);
        slots
    }

    pub(crate) fn matrix(&self, path: &Path, slot: &Slot) -> Result<MatrixReader> {
        let node = match slot {
            Slot::X => self.root.node("X")?,
            Slot::Layer(name) => self.root.group("layers")?.node(name)?,
            Slot::Raw => {
                let (parent, x, _) = self.raw_or_error()?;
                parent.node(x)?
            }
        };
        MatrixReader::open(path, node, (self.n_cells, self.n_genes(slot)?))
    }

    pub(crate) fn aligned_names(&self, place: &str) -> Vec<String> {
        self.aligned.iter().find(|(p, _)| *p == place).map_or_else(Vec::new, |(_, names)| names.clone())
    }

    pub(crate) fn obsm(&self, path: &Path, name: &str) -> Result<Matrix> {
        dense::read(path, &self.root, &self.root.group("obsm")?, name, self.n_cells)
    }

    pub(crate) fn varm(&self, path: &Path, name: &str) -> Result<Matrix> {
        dense::read(path, &self.root, &self.root.group("varm")?, name, self.n_genes)
    }

    pub(crate) fn obsp(&self, path: &Path, name: &str) -> Result<MatrixReader> {
        MatrixReader::open(path, self.root.group("obsp")?.node(name)?, (self.n_cells, self.n_cells))
    }

    pub(crate) fn uns(&self) -> Result<Value> {
        if !self.root.has("uns") {
            return Ok(Value::Object(Map::new()));
        }
        match self.root.node("uns")? {
            Node::Group(group) => uns::read(&self.root, &group, 0),
            Node::Array(_) => Err(Error::unreadable("a dataset where a group should be").at_key("uns")),
        }
    }
}

fn is_null(node: &Node) -> bool {
    match node {
        Node::Array(array) => matches!(array.text_attribute("encoding-type"), Ok(Some(t)) if t == "null"),
        Node::Group(_) => false,
    }
}
