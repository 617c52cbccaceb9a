//! `study`: the pipelines of the parameter-free study on the user's cells, with every classifier on every representation.

mod between;
mod within;

use std::path::PathBuf;

use microtome_core::{Counts, Error, GeneTable, Progress, Result};
use microtome_eval::Groups;
use microtome_eval::study::{Labelled, Rule};
use serde::Serialize;

use between::between;
use within::{in_clusters, within};

use crate::data::{Data, DataOptions};
use crate::output::{check_writable, write_atomic};

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

/// Which pipeline within one data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pipeline {
    /// Cell types, on random splits of cells.
    #[default]
    CellType,
    /// Clusters first, logistic regression within each (infected cells), in folds.
    Clustered,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct StudyOptions {
    /// Which pipeline within one data set; between several there is one.
    pub pipeline: Pipeline,
    /// Clustered pipeline: column of `obs` with the unit that folds keep together; cells are dealt out at random without it.
    pub unit: Option<String>,
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
    /// Cells called unspecified, or of clusters without a classifier.
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
    units: Option<Groups>,
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
    if options.pipeline == Pipeline::Clustered && options.data.len() > 1 {
        return Err(Error::usage("the clustered pipeline runs within one data set")
            .at_key("--pipeline")
            .found(format!("{} data sets", options.data.len()))
            .remedy("give one file, or leave out --pipeline"));
    }
    if options.unit.is_some() && options.pipeline != Pipeline::Clustered {
        return Err(Error::usage("only the clustered pipeline can hold out units")
            .at_key("--unit")
            .remedy("add --pipeline clustered, or run scan --task annotation --unit"));
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
        let units = match &options.unit {
            None => None,
            Some(unit) => {
                let column =
                    data.obs_column(unit).map_err(|e| e.in_file(&named.data.path).at_key("--unit"))?;
                Some(Groups::from_column(unit.clone(), &column))
            }
        };
        opened.push(Opened {
            units,
            name: named.name.clone(),
            counts: data.counts(0..data.cells.len())?,
            labels: Groups::from_column(options.label.clone(), &labels),
            genes: data.genes,
        });
    }
    let report = match &opened[..] {
        [] => return Err(Error::usage("no data set").expected("at least one .h5ad file")),
        [one] if options.pipeline == Pipeline::Clustered => in_clusters(one, options, notes, progress)?,
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
