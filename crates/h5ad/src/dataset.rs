//! An open data set: cells, genes, matrices and everything that goes with them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use microtome_core::{Column, Error, Matrix, Result, Table, closest};
use serde_json::Value;

use crate::anndata::AnnData;
use crate::matrix::MatrixReader;
use crate::obs_rows::ObsRows;
use crate::slot::Slot;
use crate::tenx::{Folder, TenxH5};

/// What kind of files a data set came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// AnnData `.h5ad`.
    AnnData,
    /// 10x Cell Ranger 2 `.h5`: one group per genome.
    TenxH5V2,
    /// 10x Cell Ranger 3 and later `.h5`: a group `matrix` with features.
    TenxH5V3,
    /// 10x folder with `matrix.mtx`.
    TenxMtx,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnnData => "h5ad",
            Self::TenxH5V2 => "10x h5 (v2)",
            Self::TenxH5V3 => "10x h5 (v3)",
            Self::TenxMtx => "10x mtx folder",
        })
    }
}

#[derive(Debug)]
pub(crate) enum Body {
    AnnData(Box<AnnData>),
    TenxH5(TenxH5),
    Folder(Folder),
}

/// An open data set. Nothing but row counts is read until it is asked for.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    format: Format,
    body: Body,
    notes: Mutex<Vec<String>>,
}

impl Dataset {
    pub(crate) fn new(path: &Path, format: Format, body: Body, notes: Vec<String>) -> Self {
        Self { path: path.to_path_buf(), format, body, notes: Mutex::new(notes) }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kind of file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What the user should know about how this data set was read: features and columns left out.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, new: Vec<String>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for note in new {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }

    fn here<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| e.in_file(&self.path))
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        match &self.body {
            Body::AnnData(a) => a.n_cells(),
            Body::TenxH5(t) => t.n_cells(),
            Body::Folder(f) => f.n_cells(),
        }
    }

    /// Number of genes of a matrix; `raw` has its own.
    ///
    /// # Errors
    /// When there is no such matrix.
    pub fn n_genes(&self, slot: &Slot) -> Result<usize> {
        self.check_slot(slot)?;
        match &self.body {
            Body::AnnData(a) => self.here(a.n_genes(slot)),
            Body::TenxH5(t) => Ok(t.n_genes()),
            Body::Folder(f) => Ok(f.n_genes()),
        }
    }

    /// The matrices there are.
    pub fn slots(&self) -> Vec<Slot> {
        match &self.body {
            Body::AnnData(a) => a.slots(),
            Body::TenxH5(_) | Body::Folder(_) => vec![Slot::X],
        }
    }

    fn check_slot(&self, slot: &Slot) -> Result<()> {
        let slots = self.slots();
        if slots.contains(slot) {
            return Ok(());
        }
        let names: Vec<String> = slots.iter().map(ToString::to_string).collect();
        let near = closest(&slot.to_string(), names.iter().map(String::as_str)).map(str::to_string);
        Err(Error::usage("no such matrix")
            .in_file(&self.path)
            .expected(if names.is_empty() {
                "(the file holds none)".into()
            } else {
                format!("one of: {}", names.join(", "))
            })
            .found(slot.to_string())
            .remedy(near.map_or("name a matrix of this file".into(), |n| format!("did you mean {n}?"))))
    }

    /// Opens a matrix for reading by rows.
    ///
    /// # Errors
    /// No such matrix; an encoding that is not read; a shape that disagrees with `obs` and `var`.
    pub fn matrix(&self, slot: &Slot) -> Result<MatrixReader> {
        self.check_slot(slot)?;
        self.here(match &self.body {
            Body::AnnData(a) => a.matrix(&self.path, slot),
            Body::TenxH5(t) => t.matrix(&self.path),
            Body::Folder(f) => Ok(f.matrix(&self.path)),
        })
    }

    /// The table of cells. Columns in an encoding that is not read are left out, see [`Dataset::notes`].
    ///
    /// # Errors
    /// A damaged file.
    pub fn obs(&self) -> Result<Table> {
        match &self.body {
            Body::AnnData(a) => {
                let mut notes = vec![];
                let table = self.here(a.obs().table(&mut notes));
                self.note(notes);
                table
            }
            Body::TenxH5(_) | Body::Folder(_) => Ok(Table { index: self.obs_names()?, columns: vec![] }),
        }
    }

    /// The table of cells, to be read in parts: memory does not grow with the cells. Columns in an encoding that is not read are left
    /// out, see [`Dataset::notes`].
    ///
    /// # Errors
    /// A damaged file; all values are looked at once.
    pub fn obs_rows(&self) -> Result<ObsRows> {
        match &self.body {
            Body::AnnData(a) => {
                let mut notes = vec![];
                let table = self.here(ObsRows::of_frame(self.path.clone(), a.obs(), &mut notes));
                self.note(notes);
                table
            }
            Body::TenxH5(t) => {
                self.here(t.barcode_reader().and_then(|names| ObsRows::of_names(self.path.clone(), names)))
            }
            Body::Folder(f) => Ok(ObsRows::of_known(self.path.clone(), f.barcodes().to_vec())),
        }
    }

    /// Names of the columns of `obs`.
    ///
    /// # Errors
    /// A damaged file.
    pub fn obs_column_names(&self) -> Result<Vec<String>> {
        match &self.body {
            Body::AnnData(a) => self.here(a.obs().column_names()),
            Body::TenxH5(_) | Body::Folder(_) => Ok(vec![]),
        }
    }

    /// One column of `obs`.
    ///
    /// # Errors
    /// No such column; an encoding that is not read; a damaged file.
    pub fn obs_column(&self, name: &str) -> Result<Column> {
        match &self.body {
            Body::AnnData(a) => self.here(a.obs().column(name)),
            Body::TenxH5(_) | Body::Folder(_) => {
                self.here(Table::default().column("obs", name).cloned().map_err(|e| {
                    e.remedy("10x files hold barcodes only: write an .h5ad with the columns you need")
                }))
            }
        }
    }

    /// Stored type of a plain numeric column of `obs`, numpy's name of it (`float32`, `int64`, ...). `None` when there is
    /// no such column, or when it is stored in another way (categories, nullable, text).
    ///
    /// # Errors
    /// A damaged file.
    pub fn obs_dtype(&self, name: &str) -> Result<Option<String>> {
        match &self.body {
            Body::AnnData(a) => self.here(a.obs().dtype(name)),
            Body::TenxH5(_) | Body::Folder(_) => Ok(None),
        }
    }

    /// Names of the cells.
    ///
    /// # Errors
    /// A damaged file.
    pub fn obs_names(&self) -> Result<Vec<String>> {
        match &self.body {
            Body::AnnData(a) => self.here(a.obs().names()),
            Body::TenxH5(t) => self.here(t.barcodes()),
            Body::Folder(f) => Ok(f.barcodes().to_vec()),
        }
    }

    /// The table of genes of a matrix. For 10x files as scanpy reads them: symbols as row names, `gene_ids`,
    /// `feature_types` and `genome` as columns.
    ///
    /// # Errors
    /// No such matrix; a damaged file.
    pub fn var(&self, slot: &Slot) -> Result<Table> {
        self.check_slot(slot)?;
        match &self.body {
            Body::AnnData(a) => {
                let mut notes = vec![];
                let table = self.here(a.var(slot).and_then(|frame| frame.table(&mut notes)));
                self.note(notes);
                table
            }
            Body::TenxH5(t) => Ok(t.var().clone()),
            Body::Folder(f) => Ok(f.var().clone()),
        }
    }

    /// Names in `obsm`.
    pub fn obsm_names(&self) -> Vec<String> {
        self.aligned_names("obsm")
    }

    /// Names in `varm`.
    pub fn varm_names(&self) -> Vec<String> {
        self.aligned_names("varm")
    }

    /// Names in `obsp`.
    pub fn obsp_names(&self) -> Vec<String> {
        self.aligned_names("obsp")
    }

    fn aligned_names(&self, place: &str) -> Vec<String> {
        match &self.body {
            Body::AnnData(a) => a.aligned_names(place),
            Body::TenxH5(_) | Body::Folder(_) => vec![],
        }
    }

    fn aligned(&self, place: &str, name: &str) -> Result<&AnnData> {
        let names = self.aligned_names(place);
        match &self.body {
            Body::AnnData(a) if names.iter().any(|n| n == name) => Ok(a),
            _ => {
                let near = closest(name, names.iter().map(String::as_str));
                let list = if names.is_empty() { "(nothing)".into() } else { names.join(", ") };
                Err(Error::usage(format!("no such array in {place}"))
                    .in_file(&self.path)
                    .at_key(format!("{place}[\"{name}\"]"))
                    .expected(format!("one of: {list}"))
                    .found(format!("\"{name}\""))
                    .remedy(
                        near.map_or(format!("name an array of {place}"), |n| {
                            format!("did you mean \"{n}\"?")
                        }),
                    ))
            }
        }
    }

    /// An embedding of the cells, `[cell, dimension]`. Values become the nearest `f32`. Arrays of more axes are joined
    /// into columns, sparse ones filled up, data frames taken column by column.
    ///
    /// # Errors
    /// No such array; values that are not numbers; a damaged file.
    pub fn obsm(&self, name: &str) -> Result<Matrix> {
        let body = self.aligned("obsm", name)?;
        self.here(body.obsm(&self.path, name))
    }

    /// An array along the genes of `X`, `[gene, dimension]`.
    ///
    /// # Errors
    /// As [`Dataset::obsm`].
    pub fn varm(&self, name: &str) -> Result<Matrix> {
        let body = self.aligned("varm", name)?;
        self.here(body.varm(&self.path, name))
    }

    /// A matrix of cells x cells, for instance a neighbour graph.
    ///
    /// # Errors
    /// No such array; an encoding that is not read; a damaged file.
    pub fn obsp(&self, name: &str) -> Result<MatrixReader> {
        let body = self.aligned("obsp", name)?;
        self.here(body.obsp(&self.path, name))
    }

    /// `uns` as JSON; an empty object where there is none. NaN and infinities become null. Arrays of more than
    /// [`crate::UNS_LIST_LIMIT`] elements, and sparse matrices, are described instead of listed.
    ///
    /// # Errors
    /// A damaged file.
    pub fn uns(&self) -> Result<Value> {
        match &self.body {
            Body::AnnData(a) => self.here(a.uns()),
            Body::TenxH5(_) | Body::Folder(_) => Ok(Value::Object(serde_json::Map::new())),
        }
    }
}
