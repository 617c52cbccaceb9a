//! Folders with `matrix.mtx`, `barcodes.tsv` and `genes.tsv` or `features.tsv`, plain or gzipped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use microtome_core::{Counts, Error, Result, Table};

use super::features::Features;
use super::mtx;
use crate::matrix::MatrixReader;

/// A 10x folder, read into memory at opening: Matrix Market text has no order that would allow reading by row.
#[derive(Debug)]
pub(crate) struct Folder {
    counts: Arc<Counts>,
    barcodes: Vec<String>,
    var: Table,
}

impl Folder {
    /// Reads the whole folder.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        let names = files(path)?;
        let pick = |endings: &[&str]| one(path, &names, endings);
        let matrix = pick(&["matrix.mtx", "matrix.mtx.gz"])?;
        let barcode_file = pick(&["barcodes.tsv", "barcodes.tsv.gz"])?;
        let feature_file = pick(&["features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz"])?;

        let mut barcodes = vec![];
        each_line(&barcode_file, |line| {
            barcodes.push(line.split('\t').next().unwrap_or_default().to_string());
            Ok(())
        })?;
        let features = read_features(&feature_file)?;
        let n_features = features.ids.len();
        let (var, genes, notes) = features.genes("").map_err(|e| e.in_file(&feature_file))?;
        let size = fs::metadata(&matrix).map(|m| m.len()).unwrap_or(0);
        let counts = mtx::read(&mut text(&matrix)?, size, (n_features, barcodes.len()), &genes)
            .map_err(|e| e.in_file(&matrix))?;
        Ok((Self { counts: Arc::new(counts), barcodes, var }, notes))
    }

    pub(crate) fn n_cells(&self) -> usize {
        self.counts.n_cells()
    }

    pub(crate) fn n_genes(&self) -> usize {
        self.counts.n_genes()
    }

    pub(crate) fn barcodes(&self) -> &[String] {
        &self.barcodes
    }

    pub(crate) fn var(&self) -> &Table {
        &self.var
    }

    pub(crate) fn matrix(&self, path: &Path) -> MatrixReader {
        MatrixReader::memory(path, "matrix.mtx", self.counts.clone())
    }
}

fn files(path: &Path) -> Result<Vec<String>> {
    let list = fs::read_dir(path).map_err(|e| Error::unreadable("cannot list the folder").caused_by(e))?;
    let mut names: Vec<String> =
        list.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The one file of the folder with one of the endings; a prefix such as `GSM123_` is allowed.
fn one(folder: &Path, names: &[String], endings: &[&str]) -> Result<PathBuf> {
    let exact = names.iter().find(|n| endings.contains(&n.as_str()));
    let ending: Vec<&String> = names.iter().filter(|n| endings.iter().any(|e| n.ends_with(e))).collect();
    match (exact, ending.as_slice()) {
        (Some(name), _) => Ok(folder.join(name)),
        (None, [name]) => Ok(folder.join(name)),
        (None, []) => Err(Error::unreadable("not a 10x folder")
            .expected(format!("a file {}", endings.join(" or ")))
            .found(if names.is_empty() {
                "an empty folder".into()
            } else {
                names[..names.len().min(20)].join(", ")
            })
            .remedy("name an .h5ad file, a 10x .h5 file, or the folder that holds matrix.mtx(.gz)")),
        (None, several) => Err(Error::unreadable("several 10x matrices in one folder")
            .expected(format!("one file {}", endings.join(" or ")))
            .found(several.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", "))
            .remedy("put each sample into its own folder")),
    }
}

/// Lines longer than this are not 10x files.
const MAX_LINE: u64 = 1 << 20;

fn text(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = fs::File::open(path)
        .map_err(|e| Error::unreadable("cannot open the file").in_file(path).caused_by(e))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let gzip = reader.fill_buf().map(|b| b.starts_with(&[0x1f, 0x8b])).unwrap_or(false);
    Ok(if gzip {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader)))
    } else {
        Box::new(reader)
    })
}

/// Reads one line without its end; `false` at the end of the file.
pub(super) fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let n = reader.take(MAX_LINE).read_until(b'\n', line).map_err(|e| {
        Error::unreadable("cannot read the file").caused_by(e).remedy("copy or download it again")
    })?;
    if n as u64 == MAX_LINE {
        return Err(
            Error::unreadable("a line of more than a megabyte").expected("a text file of 10x Genomics")
        );
    }
    while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(n > 0)
}

fn each_line(path: &Path, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut reader = text(path)?;
    let mut line = vec![];
    let mut run = || -> Result<()> {
        while next_line(&mut *reader, &mut line)? {
            let line = std::str::from_utf8(&line).map_err(|e| Error::unreadable("not text").caused_by(e))?;
            if !line.is_empty() {
                take(line)?;
            }
        }
        Ok(())
    };
    run().map_err(|e| e.in_file(path))
}

/// `id, name[, type]` separated by tabs; files of Cell Ranger 2 have no type.
fn read_features(path: &Path) -> Result<Features> {
    let mut features = Features::default();
    each_line(path, |line| {
        let mut fields = line.split('\t');
        let id = fields.next().unwrap_or_default().to_string();
        features.names.push(fields.next().unwrap_or(&id).to_string());
        if let Some(kind) = fields.next() {
            features.types.push(kind.to_string());
        }
        features.ids.push(id);
        Ok(())
    })?;
    Ok(features)
}
