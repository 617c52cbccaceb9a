//! The streaming writer.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, Error, Matrix, Result};
use rust_hdf5::{H5File, LibverBound};
use serde_json::Value;
use tempfile::TempPath;

use super::arrays::{Dense, Sparse, too_few, too_many};
use super::sink::{Sink, check_name, failed};
use super::stream::Stream;
use super::{frame, uns};
use crate::rows::TableRows;

/// gzip level of counts.
const GZIP: u32 = 4;

/// Writes one `.h5ad` file under a temporary name beside the target, and renames it when it is complete. Dropping the
/// writer before [`Writer::finish`] removes the temporary file and leaves an existing target as it was.
///
/// Matrices can be given whole or, with `begin_*` and `append_*`, in parts; parts of different arrays may alternate.
/// Memory: some megabytes per open array, plus 8 bytes per cell for a matrix that is being appended to.
pub struct Writer {
    path: PathBuf,
    // Declared before the temporary file, so that it is closed before the file is removed.
    file: H5File,
    temporary: TempPath,
    root: Sink,
    layers: Sink,
    obsm: Sink,
    varm: Sink,
    n_cells: usize,
    n_genes: usize,
    gzip: Option<u32>,
    x: Option<Sparse>,
    arrays: Vec<Dense>,
    taken: HashSet<String>,
}

impl Writer {
    /// Starts a file for the cells of `obs` and the genes of `var`, which are written a part at a time.
    ///
    /// # Errors
    /// An output folder that does not exist or cannot be written; a table that cannot be stored (a column twice, of the
    /// wrong length, or with a slash in its name).
    pub fn create(path: &Path, obs: &dyn TableRows, var: &dyn TableRows) -> Result<Self> {
        Self::start(path, obs, var).map_err(|e| e.in_file(path))
    }

    fn start(path: &Path, obs: &dyn TableRows, var: &dyn TableRows) -> Result<Self> {
        frame::check("obs", &obs.columns())?;
        frame::check("var", &var.columns())?;
        let temporary = temporary_beside(path)?;
        let file = H5File::options()
            .no_locking()
            .libver(LibverBound::V18)
            .create(&temporary)
            .map_err(failed("/"))?;
        file.set_attr_string("encoding-type", "anndata").map_err(failed("/"))?;
        file.set_attr_string("encoding-version", "0.1.0").map_err(failed("/"))?;
        let root = Sink::root(file.root_group());
        frame::write(&root, "obs", obs)?;
        frame::write(&root, "var", var)?;
        let dict = |name: &str| root.create(name, "dict", "0.1.0");
        let (layers, obsm) = (dict("layers")?, dict("obsm")?);
        let varm = dict("varm")?;
        for name in ["obsp", "varp"] {
            dict(name)?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            file,
            temporary,
            layers,
            obsm,
            varm,
            root,
            n_cells: obs.n_rows(),
            n_genes: var.n_rows(),
            gzip: Some(GZIP),
            x: None,
            arrays: vec![],
            taken: HashSet::new(),
        })
    }

    /// gzip level (0 to 9) of `X` and layers begun from now on, `None` for no compression; 4 at first. Embeddings are
    /// stored as they are.
    pub fn compress_counts(&mut self, level: Option<u32>) {
        self.gzip = level.map(|l| l.min(9));
    }

    /// Writes the whole of `X`.
    ///
    /// # Errors
    /// A shape that does not fit `obs` and `var`; `X` given before; output that cannot be written.
    pub fn set_x(&mut self, counts: &Counts) -> Result<()> {
        self.begin_x(counts.n_genes())?;
        self.append_x(counts)
    }

    /// Starts `X`; [`Writer::append_x`] brings the rows.
    ///
    /// # Errors
    /// A number of genes other than that of `var`; `X` given before.
    pub fn begin_x(&mut self, n_genes: usize) -> Result<()> {
        let result =
            self.take("X").and_then(|()| Sparse::begin(&self.root, "X", n_genes, self.shape(), self.gzip));
        self.x = Some(result.map_err(|e| e.in_file(&self.path))?);
        Ok(())
    }

    /// Adds the next rows of `X`.
    ///
    /// # Errors
    /// [`Writer::begin_x`] not called; more rows than cells; output that cannot be written.
    pub fn append_x(&mut self, counts: &Counts) -> Result<()> {
        let n_cells = self.n_cells;
        let result = match &mut self.x {
            Some(x) => x.append(counts, n_cells),
            None => Err(Error::usage("X was not begun").at_key("X")),
        };
        result.map_err(|e| e.in_file(&self.path))
    }

    /// Writes a layer.
    ///
    /// # Errors
    /// As [`Writer::set_x`].
    pub fn set_layer(&mut self, name: &str, counts: &Counts) -> Result<()> {
        let write = |this: &mut Self| {
            check_name("layers", name)?;
            this.take(&format!("layers/{name}"))?;
            let mut layer = Sparse::begin(&this.layers, name, counts.n_genes(), this.shape(), this.gzip)?;
            layer.append(counts, this.n_cells)?;
            layer.finish(this.n_cells)
        };
        write(self).map_err(|e| e.in_file(&self.path))
    }

    /// Starts an array of `obsm`, `width` numbers per cell; [`Writer::append_obsm`] brings the rows.
    ///
    /// # Errors
    /// A name that cannot be stored or was given before; a width of 0.
    pub fn begin_obsm(&mut self, name: &str, width: usize) -> Result<()> {
        let begin = |this: &mut Self| {
            check_name("obsm", name)?;
            if width == 0 {
                return Err(Error::usage("array without columns").at_key(format!("obsm[\"{name}\"]")));
            }
            this.take(&format!("obsm/{name}"))?;
            let stream = Stream::new(this.obsm.group(), this.obsm.key(), name, Some(width), None);
            this.arrays.push(Dense { name: name.to_string(), width, stream });
            Ok(())
        };
        begin(self).map_err(|e| e.in_file(&self.path))
    }

    /// Adds the next rows, row-major.
    ///
    /// # Errors
    /// An array that was not begun; values that are not whole rows; more rows than cells; output that cannot be written.
    pub fn append_obsm(&mut self, name: &str, rows: &[f32]) -> Result<()> {
        let n_cells = self.n_cells;
        let mut append = || {
            let key = || format!("obsm[\"{name}\"]");
            let array = self.arrays.iter_mut().find(|a| a.name == name);
            let array = array.ok_or_else(|| Error::usage("array was not begun").at_key(key()))?;
            if !rows.len().is_multiple_of(array.width) {
                return Err(Error::usage("not whole rows")
                    .at_key(key())
                    .expected(format!("a multiple of {} values", array.width))
                    .found(rows.len().to_string()));
            }
            too_many(&key(), array.stream.n_rows() + rows.len() / array.width, n_cells)?;
            array.stream.append(rows)
        };
        append().map_err(|e| e.in_file(&self.path))
    }

    /// Writes an array of `obsm`.
    ///
    /// # Errors
    /// As [`Writer::begin_obsm`] and [`Writer::append_obsm`].
    pub fn set_obsm(&mut self, name: &str, matrix: &Matrix) -> Result<()> {
        self.begin_obsm(name, matrix.cols())?;
        self.append_obsm(name, matrix.data())
    }

    /// Writes an array of `varm`, `[gene, width]`.
    ///
    /// # Errors
    /// Other than one row per gene; a key that cannot be stored or was given before; output that cannot be written.
    pub fn set_varm(&mut self, name: &str, matrix: &Matrix) -> Result<()> {
        let write = |this: &mut Self| {
            let key = format!("varm[\"{name}\"]");
            if matrix.rows() != this.n_genes || matrix.cols() == 0 {
                return Err(Error::usage("array of the wrong shape")
                    .at_key(key)
                    .expected(format!("{} rows (genes) and at least one column", this.n_genes))
                    .found(format!("{} x {}", matrix.rows(), matrix.cols())));
            }
            check_name("varm", name)?;
            this.take(&format!("varm/{name}"))?;
            let mut stream = Stream::new(this.varm.group(), this.varm.key(), name, Some(matrix.cols()), None);
            stream.append(matrix.data())?;
            stream.finish()
        };
        write(self).map_err(|e| e.in_file(&self.path))
    }

    /// Writes `uns`, an object. Null entries are left out; lists of numbers, texts or booleans become arrays, other lists
    /// JSON text.
    ///
    /// # Errors
    /// Something other than an object; a key that cannot be stored; `uns` given before.
    pub fn set_uns(&mut self, value: &Value) -> Result<()> {
        let write = |this: &mut Self| {
            let Value::Object(entries) = value else {
                return Err(Error::usage("uns must be an object").at_key("uns"));
            };
            uns::check("uns", value)?;
            this.take("uns")?;
            uns::write(&this.root.create("uns", "dict", "0.1.0")?, entries)
        };
        write(self).map_err(|e| e.in_file(&self.path))
    }

    /// Completes the file, forces it to disk and gives it its name.
    ///
    /// # Errors
    /// An array with fewer rows than cells; output that cannot be written.
    pub fn finish(mut self) -> Result<()> {
        let path = std::mem::take(&mut self.path);
        self.complete(&path).map_err(|e| e.in_file(&path))
    }

    fn complete(mut self, path: &Path) -> Result<()> {
        if let Some(x) = self.x.take() {
            x.finish(self.n_cells)?;
        }
        for array in std::mem::take(&mut self.arrays) {
            let key = format!("obsm[\"{}\"]", array.name);
            too_few(&key, array.stream.n_rows(), self.n_cells)?;
            array.stream.finish()?;
        }
        if self.taken.insert("uns".into()) {
            self.root.create("uns", "dict", "0.1.0")?;
        }
        let Self { file, temporary, .. } = self;
        // Writes the remaining structures and syncs the file.
        file.close().map_err(failed("/"))?;
        temporary.persist(path).map_err(|e| {
            Error::output("cannot put the finished file in its place")
                .caused_by(e.error)
                .remedy("check permissions")
        })?;
        // The new name is durable once the folder is.
        #[cfg(unix)]
        if let Ok(folder) = fs::File::open(folder_of(path)) {
            folder.sync_all().map_err(|e| Error::output("cannot force the folder to disk").caused_by(e))?;
        }
        Ok(())
    }

    fn shape(&self) -> [usize; 2] {
        [self.n_cells, self.n_genes]
    }

    fn take(&mut self, key: &str) -> Result<()> {
        if self.taken.insert(key.to_string()) {
            return Ok(());
        }
        Err(Error::usage("given twice").at_key(key).remedy("write every part of a file once"))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new empty file beside the target, hidden, with the permissions any new file gets.
fn temporary_beside(path: &Path) -> Result<TempPath> {
    let Some(name) = path.file_name() else {
        return Err(Error::output("the output has no file name").remedy("name a file such as cells.h5ad"));
    };
    if fs::metadata(path).is_ok_and(|m| m.is_dir()) {
        return Err(Error::output("the output is a folder").remedy("name a file such as cells.h5ad"));
    }
    let prefix = format!(".{}.", name.to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    let file = builder.tempfile_in(folder_of(path)).map_err(|e| {
        Error::output("cannot write into the output folder")
            .caused_by(e)
            .remedy("check that the folder exists, is writable and has space")
    })?;
    Ok(file.into_temp_path())
}
