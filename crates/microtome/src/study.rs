//! `study`: the pipelines of the parameter-free study on the user's cells, with every classifier on every representation.

use std::collections::HashMap;
use std::path::PathBuf;

use microtome_core::{Counts, Error, GeneTable, Progress, Result, closest, strip_version};
use microtome_eval::Groups;
use microtome_eval::study::{
    CellTypeOptions, Labelled, Orthologs, Rule, TransferOptions, cell_type, transfer,
};
use serde::Serialize;

use crate::data::{Data, DataOptions};
use crate::output::{check_writable, write_atomic};
use crate::read_table;

/// Most bytes of a table of orthologs.
const MAX_TABLE: u64 = 1 << 28;

/// A data set with the name it has in the result.
#[derive(Clone, Debug)]
pub struct Named {
    /// Name, for instance of the species.
    pub name: String,
    /// Cells.
    pub data: DataOptions,
}

/// A table of orthologs of two of the data sets.
#[derive(Clone, Debug)]
pub struct OrthologTable {
    /// Data set whose genes are in the first column.
    pub first: String,
    /// Data set whose genes are in the second column.
    pub second: String,
    /// Two columns of gene names, symbols or Ensembl ids, comma or tab separated, plain or gzip.
    pub path: PathBuf,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct StudyOptions {
    /// One data set for the pipeline within it, several for every ordered pair.
    pub data: Vec<Named>,
    /// Column of `obs` with the labels, spelt alike in all data sets.
    pub label: String,
    /// Orthologs; two data sets without a table are matched by gene name.
    pub orthologs: Vec<OrthologTable>,
    /// Which orthologs stand for each other.
    pub rule: Rule,
    /// Fewest cells of a label; 100 within one data set, 51 between several when absent.
    pub min_cells: Option<usize>,
    /// Random splits within one data set.
    pub n_splits: usize,
    /// Seed of the splits.
    pub seed: u64,
    /// CSV file for all scores.
    pub out: Option<PathBuf>,
}

/// One score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudyRow {
    /// Where labels were learnt.
    pub basis: String,
    /// Where they were asked for: `split N` of the same data set, `held out`, or another data set.
    pub target: String,
    /// What the cells were turned into.
    pub representation: String,
    /// What the labels were learnt with.
    pub classifier: String,
    /// Macro-F1 over the union of true and predicted labels.
    pub f1: f64,
    /// Labels.
    pub n_labels: usize,
    /// Cells asked.
    pub n_cells: usize,
    /// Genes in common, between data sets.
    pub n_genes: Option<usize>,
    /// Cells called unspecified.
    pub n_unspecified: usize,
}

/// Mean scores of one representation with one classifier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudyMean {
    /// What the cells were turned into.
    pub representation: String,
    /// What the labels were learnt with.
    pub classifier: String,
    /// Mean over splits, or over ordered pairs of different data sets: the headline.
    pub f1: f64,
    /// Mean with held-out cells of the basis itself among the targets, which is easier.
    pub f1_with_diagonal: Option<f64>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct StudyReport {
    /// What was run, in words.
    pub pipeline: String,
    /// Which combination is the one of the publication.
    pub published: String,
    /// Mean scores, best first.
    pub means: Vec<StudyMean>,
    /// All scores.
    pub rows: Vec<StudyRow>,
    /// What to keep in mind.
    pub notes: Vec<String>,
}

struct Opened {
    name: String,
    counts: Counts,
    genes: GeneTable,
    labels: Groups,
}

impl Opened {
    fn labelled(&self) -> Labelled<'_> {
        Labelled { name: self.name.clone(), counts: &self.counts, labels: self.labels.clone() }
    }
}

/// Runs the study: within one data set, or between every ordered pair of several.
pub fn study(options: &StudyOptions, progress: &dyn Progress) -> Result<StudyReport> {
    if let Some(out) = &options.out {
        check_writable(out)?;
    }
    let mut notes = vec![];
    let mut opened: Vec<Opened> = vec![];
    for named in &options.data {
        if opened.iter().any(|o| o.name == named.name) {
            return Err(Error::usage("two data sets have one name")
                .found(format!("\"{}\"", named.name))
                .remedy("name them, as in human=a.h5ad mouse=b.h5ad"));
        }
        let data = Data::open(&named.data)?;
        notes.extend(data.notes.iter().map(|n| format!("{}: {n}", named.name)));
        let labels = data.obs_column(&options.label).map_err(|e| e.in_file(&named.data.path))?;
        opened.push(Opened {
            name: named.name.clone(),
            counts: data.counts(0..data.cells.len())?,
            labels: Groups::from_column(options.label.clone(), &labels),
            genes: data.genes,
        });
    }
    let report = match &opened[..] {
        [] => return Err(Error::usage("no data set").expected("at least one .h5ad file")),
        [one] => within(one, options, notes, progress)?,
        several => between(several, options, notes, progress)?,
    };
    if let Some(out) = &options.out {
        write_atomic(out, csv(&report).as_bytes())?;
    }
    Ok(report)
}

fn csv(report: &StudyReport) -> String {
    let quoted = |s: &str| {
        if s.contains([',', '"', '\n']) { format!("\"{}\"", s.replace('"', "\"\"")) } else { s.to_string() }
    };
    let mut out =
        String::from("basis,target,representation,classifier,macro_f1,labels,cells,genes,unspecified\n");
    for r in &report.rows {
        let genes = r.n_genes.map_or_else(String::new, |n| n.to_string());
        let fields = [
            quoted(&r.basis),
            quoted(&r.target),
            r.representation.clone(),
            r.classifier.clone(),
            r.f1.to_string(),
            r.n_labels.to_string(),
            r.n_cells.to_string(),
            genes,
            r.n_unspecified.to_string(),
        ];
        out.push_str(&fields.join(","));
        out.push('\n');
    }
    out
}

fn within(
    data: &Opened,
    options: &StudyOptions,
    mut notes: Vec<String>,
    progress: &dyn Progress,
) -> Result<StudyReport> {
    let mut o =
        CellTypeOptions { n_splits: options.n_splits, seed: options.seed, ..CellTypeOptions::default() };
    o.min_cells = options.min_cells.unwrap_or(o.min_cells);
    let scores = cell_type(&data.labelled(), &o, progress)?;
    notes.push(
        "cells of one donor are on both sides of these random splits, as in the publication: the scores are optimistic. \
         scan --task annotation --unit holds donors out"
            .into(),
    );
    let rows: Vec<StudyRow> = scores
        .into_iter()
        .map(|s| StudyRow {
            basis: data.name.clone(),
            target: format!("split {}", s.split),
            representation: s.representation.into(),
            classifier: s.classifier.into(),
            f1: s.f1,
            n_labels: s.n_labels,
            n_cells: s.n_test,
            n_genes: None,
            n_unspecified: 0,
        })
        .collect();
    Ok(StudyReport {
        pipeline: format!(
            "cell types within {}: {} genes by F, scaled, {} whitened components, {} random splits of 80 and 20 % (Tabula Sapiens pipeline)",
            data.name, o.n_genes, o.n_components, o.n_splits
        ),
        published: "rank_normal with logistic".into(),
        means: means(&rows, |_| true, false),
        rows,
        notes,
    })
}

fn between(
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

/// Mean of every combination over the rows that count, best first.
fn means(rows: &[StudyRow], counts: impl Fn(&StudyRow) -> bool, diagonal: bool) -> Vec<StudyMean> {
    let mut out: Vec<StudyMean> = vec![];
    for r in rows {
        if out.iter().any(|m| m.representation == r.representation && m.classifier == r.classifier) {
            continue;
        }
        let own =
            || rows.iter().filter(|o| o.representation == r.representation && o.classifier == r.classifier);
        let mean = |v: Vec<f64>| v.iter().sum::<f64>() / v.len().max(1) as f64;
        out.push(StudyMean {
            representation: r.representation.clone(),
            classifier: r.classifier.clone(),
            f1: mean(own().filter(|r| counts(r)).map(|r| r.f1).collect()),
            f1_with_diagonal: diagonal.then(|| mean(own().map(|r| r.f1).collect())),
        });
    }
    out.sort_by(|a, b| b.f1.total_cmp(&a.f1));
    out
}
