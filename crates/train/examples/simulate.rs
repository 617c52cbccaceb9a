//! Writes a simulated data set as plain text files, for checks in other languages.
//!
//! `simulate FOLDER [OPTIONS.json | PRESET]` writes `matrix.mtx` (cells x genes, 1-based), `obs.tsv`, `var.tsv` and
//! `truth.json`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use microtome_core::Table;
use microtome_train::{Preset, SimulateOptions, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: simulate FOLDER [OPTIONS.json | PRESET]")?;
    let options: SimulateOptions = match arguments.next() {
        None => SimulateOptions::default(),
        Some(path) if path.ends_with(".json") => serde_json::from_slice(&std::fs::read(path)?)?,
        Some(name) => name.parse::<Preset>()?.into(),
    };
    let data = simulate(&options)?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut out = BufWriter::new(File::create(folder.join("matrix.mtx"))?);
    let counts = &data.counts;
    writeln!(out, "%%MatrixMarket matrix coordinate integer general")?;
    writeln!(out, "{} {} {}", counts.n_cells(), counts.n_genes(), counts.nnz())?;
    for cell in 0..counts.n_cells() {
        let (genes, values) = counts.row(cell);
        for (gene, value) in genes.iter().zip(values) {
            writeln!(out, "{} {} {}", cell + 1, gene + 1, value)?;
        }
    }
    out.flush()?;
    write_table(&folder.join("obs.tsv"), &data.obs)?;
    write_table(&folder.join("var.tsv"), &data.var)?;
    std::fs::write(folder.join("truth.json"), serde_json::to_vec_pretty(&data.truth)?)?;
    Ok(())
}

fn write_table(path: &Path, table: &Table) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    writeln!(out, "index\t{}", names.join("\t"))?;
    for (row, name) in table.index.iter().enumerate() {
        write!(out, "{name}")?;
        for (_, column) in &table.columns {
            write!(out, "\t{}", column.text(row).unwrap_or_default())?;
        }
        writeln!(out)?;
    }
    out.flush()
}
