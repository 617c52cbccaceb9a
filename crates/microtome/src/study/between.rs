//! Labels carried over between data sets.

use std::collections::HashMap;

use microtome_core::{Error, GeneTable, Progress, Result, closest, strip_version};
use microtome_eval::study::{Orthologs, TransferOptions, transfer};

use super::{Opened, OrthologTable, StudyOptions, StudyReport, StudyRow, means};
use crate::read_table;

/// Most bytes of a table of orthologs.
const MAX_TABLE: u64 = 1 << 28;

/// Every ordered pair of data sets.
pub(super) fn between(
    all: &[Opened],
    options: &StudyOptions,
    mut notes: Vec<String>,
    progress: &dyn Progress,
) -> Result<StudyReport> {
    for t in &options.orthologs {
        for name in [&t.first, &t.second] {
            if !all.iter().any(|o| o.name == *name) {
                let near = closest(name, all.iter().map(|o| o.name.as_str()));
                return Err(Error::usage("the table of orthologs is of no data set")
                    .at_key("--orthologs")
                    .expected(all.iter().map(|o| o.name.clone()).collect::<Vec<_>>().join(", "))
                    .found(format!("\"{name}\""))
                    .remedy(near.map_or("name a data set".into(), |n| format!("did you mean {n}?"))));
            }
        }
    }
    let mut o = TransferOptions { seed: options.seed, ..TransferOptions::default() };
    if let Some(n) = options.min_cells {
        o.threshold = n.saturating_sub(1);
    }
    let n = all.len();
    progress.begin("pairs of data sets", (n * n) as u64, "pairs");
    let mut rows = vec![];
    for basis in all {
        for target in all {
            progress.check()?;
            let one = basis.labelled();
            let scores = if basis.name == target.name {
                transfer(&one, None, &o, progress)?
            } else {
                let (orthologs, how) = orthologs(basis, target, options)?;
                notes.push(format!("{} to {}: {} genes, {how}", basis.name, target.name, orthologs.len()));
                transfer(&one, Some((&target.labelled(), &orthologs)), &o, progress)?
            };
            let held_out = basis.name == target.name;
            rows.extend(scores.into_iter().map(|s| StudyRow {
                basis: s.basis,
                target: if held_out { "held out".into() } else { s.target },
                representation: s.representation.into(),
                classifier: s.classifier.into(),
                f1: s.f1,
                n_labels: s.n_labels,
                n_cells: s.n_cells,
                n_genes: Some(s.n_genes),
                n_unspecified: s.n_unspecified,
            }));
            progress.advance(1);
        }
    }
    progress.end();
    Ok(StudyReport {
        pipeline: format!(
            "labels carried over between {n} data sets, every ordered pair; orthologs: {}",
            options.rule.words()
        ),
        published: "rank_normal with published (class means of shares, ranked anew, projected)".into(),
        means: means(&rows, |r| r.target != "held out", true),
        rows,
        notes,
    })
}

/// Pairs of genes by the table of the two data sets in either order, or by name.
fn orthologs(basis: &Opened, target: &Opened, options: &StudyOptions) -> Result<(Orthologs, String)> {
    let (left, right) = (columns(&basis.genes), columns(&target.genes));
    let is = |t: &&OrthologTable| {
        (t.first == basis.name && t.second == target.name)
            || (t.first == target.name && t.second == basis.name)
    };
    let Some(table) = options.orthologs.iter().find(is) else {
        let mut pairs: Vec<(usize, usize)> =
            left.iter().filter_map(|(name, &a)| right.get(name).map(|&b| (a, b))).collect();
        pairs.sort_unstable();
        return Ok((
            Orthologs::new(&pairs, options.rule),
            "matched by name, because no table of orthologs was given".into(),
        ));
    };
    let text = read_table::text(&table.path, MAX_TABLE)?;
    let separator = if text.lines().next().is_some_and(|l| l.contains('\t')) { '\t' } else { ',' };
    let rows = read_table::rows(&text, separator).map_err(|e| e.in_file(&table.path))?;
    let forward = table.first == basis.name;
    let pairs: Vec<(usize, usize)> = rows
        .iter()
        .filter_map(|row| {
            let (first, second) = (row.first()?, row.get(1)?);
            let (a, b) = if forward { (first, second) } else { (second, first) };
            Some((*left.get(&key(a))?, *right.get(&key(b))?))
        })
        .collect();
    if pairs.is_empty() {
        return Err(Error::mismatch("no row of the table names a gene of both data sets")
            .in_file(&table.path)
            .at_key("--orthologs")
            .expected(format!(
                "genes of {} in the first column and of {} in the second",
                table.first, table.second
            ))
            .found(rows.first().map_or("an empty table".into(), |r| format!("{r:?}")))
            .remedy("exchange the two names, or give ids of the kind that the data sets have"));
    }
    Ok((Orthologs::new(&pairs, options.rule), format!("from {}", table.path.display())))
}

fn key(name: &str) -> String {
    strip_version(name.trim()).to_lowercase()
}

/// Column of every name, symbol and Ensembl id; the first gene of a name has it.
fn columns(genes: &GeneTable) -> HashMap<String, usize> {
    let mut out = HashMap::new();
    for list in [genes.ensembl.as_ref(), genes.symbols.as_ref(), Some(&genes.names)].into_iter().flatten() {
        for (i, name) in list.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            out.entry(key(name)).or_insert(i);
        }
    }
    out
}
