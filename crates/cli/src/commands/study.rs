//! `study`.

use std::path::{Path, PathBuf};

use microtome::{DataOptions, Named, OrthologRule, OrthologTable, PrepareOptions, StudyOptions};
use microtome_core::{Error, Progress, Result};

use crate::args::{OrthologMode, Pipeline, Study};
use crate::print;

pub(super) fn study(a: &Study, progress: &dyn Progress) -> Result<u8> {
    let options = StudyOptions {
        data: a.data.iter().map(|d| named(d, a)).collect(),
        pipeline: match a.pipeline {
            Pipeline::CellType => microtome::Pipeline::CellType,
            Pipeline::Clustered => microtome::Pipeline::Clustered,
        },
        unit: a.unit.clone(),
        label: a.label.clone(),
        orthologs: a.orthologs.iter().map(|t| table(t)).collect::<Result<_>>()?,
        rule: match a.ortholog_mode {
            OrthologMode::First => OrthologRule::First,
            OrthologMode::OneToOne => OrthologRule::OneToOne,
            OrthologMode::Mean => OrthologRule::Mean,
        },
        min_cells: a.min_cells,
        n_splits: a.splits as usize,
        seed: a.seed,
        out: a.out.clone(),
    };
    let report = microtome::study(&options, progress)?;
    if a.json {
        print::json(&report)?;
        return Ok(0);
    }
    print::line(&report.pipeline);
    print::line(format!("published: {}", report.published));
    print::line(format!(
        "{:<16} {:<18} {:>8}  {:>13}",
        "representation", "classifier", "macro-F1", "with diagonal"
    ));
    for m in &report.means {
        let with = m.f1_with_diagonal.map_or_else(String::new, |v| format!("{v:.3}"));
        print::line(format!("{:<16} {:<18} {:>8.3}  {with:>13}", m.representation, m.classifier, m.f1));
    }
    for note in &report.notes {
        print::line(format!("note: {note}"));
    }
    if let Some(out) = &a.out {
        print::line(format!("wrote {}", out.display()));
    }
    Ok(0)
}

/// `NAME=FILE`, or a file under its own name.
fn named(text: &str, a: &Study) -> Named {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if !Path::new(text).exists() => (name.to_string(), PathBuf::from(path)),
        _ => {
            let path = PathBuf::from(text);
            let stem =
                path.file_stem().map_or_else(|| text.to_string(), |s| s.to_string_lossy().into_owned());
            (stem, path)
        }
    };
    let data = DataOptions {
        path,
        slot: None,
        ensembl_column: None,
        symbol_column: None,
        log_normalised: false,
        max_cells: a.max_cells,
        seed: a.seed,
        prepare: PrepareOptions::default(),
    };
    Named { name, data }
}

/// `A:B=FILE`.
fn table(text: &str) -> Result<OrthologTable> {
    let parts = text.split_once('=').and_then(|(names, path)| Some((names.split_once(':')?, path)));
    let ((first, second), path) = parts.ok_or_else(|| {
        Error::usage("a table of orthologs needs the names of two data sets")
            .at_key("--orthologs")
            .expected("A:B=FILE, with genes of A in the first column and of B in the second")
            .found(format!("\"{text}\""))
    })?;
    Ok(OrthologTable { first: first.into(), second: second.into(), path: path.into() })
}
