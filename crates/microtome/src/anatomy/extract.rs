//! Extraction: one pass over the cells of every category per model, all sites at once.
//!
//! A finished category of a model is a file of its own; a killed run goes on after the last of them. Memory holds the sums of one
//! category and one minibatch, whatever the number of cells.

use std::path::Path;
use std::time::Instant;

use microtome_core::{Error, InputFile, Progress, Result, Role};
use microtome_weights::Checkpoint;

use super::categories::{self, Category};
use super::options::{ExtractOptions, ExtractReport};
use super::subject::{Subject, distinct_names};
use crate::card::VERSION;
use crate::data::{Data, DataOptions};
use crate::gene_store::{
    self, CategoryFile, FORMAT, GENES, GeneList, GeneStoreManifest, MANIFEST, stem_of, write_manifest,
};
use crate::open::OpenModel;
use crate::output::{self, WORK};
use crate::{hash, twin};

const RESUME: &str = "finished categories are kept: repeat the command with --resume to go on";

/// Writes a gene store.
pub fn extract(options: &ExtractOptions, progress: &dyn Progress) -> Result<ExtractReport> {
    output::check_folder(&options.out, MANIFEST, options.resume, options.overwrite)?;
    extract_into(options, progress)
}

/// [`extract`] into a folder that is allowed to be written to: categories that an equal run wrote are taken as they are.
pub(super) fn extract_into(options: &ExtractOptions, progress: &dyn Progress) -> Result<ExtractReport> {
    let begun = Instant::now();
    let mut data = Data::open(&DataOptions { max_cells: None, ..options.data.clone() })?;
    let seed = options.data.seed;
    let categories =
        categories::draw(&mut data, &options.categories, options.min_cells, options.max_cells, seed)?;
    data.cells = categories.iter().flat_map(|c| c.cells.iter().copied()).collect();
    let mut subjects = Vec::new();
    for path in &options.models {
        let subject = Subject::open(path, &data, &options.sites)?;
        subject.check_memory()?;
        data.add_contexts(subject.model())?;
        subjects.push(subject);
    }
    distinct_names(&mut subjects);
    let known = |gene: usize| subjects.iter().any(|s| s.genes.token_of_gene[gene].is_some());
    let (genes, rows) = GeneList::of_data(&data.genes, known);
    data.notes.iter().for_each(|n| progress.note(n));

    output::make_folder(&options.out, MANIFEST, options.overwrite)?;
    let work = options.out.join(WORK);
    std::fs::create_dir_all(&work)
        .map_err(|e| Error::output("cannot make the work folder").in_file(&work).caused_by(e))?;
    if options.with_twins {
        subjects = with_twins(subjects, &work, seed)?;
    }
    genes.write(&options.out.join(GENES))?;
    let data_files = hash::inputs("data", &options.data.path)?;
    let common = common_hash(&data_files, &data);

    let run = Run {
        out: &options.out,
        data: &data,
        categories: &categories,
        rows: &rows,
        common: &common,
        progress,
    };
    let (mut models, mut n_reused) = (Vec::new(), 0);
    for subject in &subjects {
        let (entry, reused) =
            run.extract(subject).map_err(|e| if progress.stopped() { e.remedy(RESUME) } else { e })?;
        n_reused += reused;
        models.push(entry);
    }
    let manifest = GeneStoreManifest {
        format: FORMAT.into(),
        version: gene_store::VERSION,
        microtome: VERSION.into(),
        command: options.command.clone(),
        dataset: data.name(),
        inputs: data_files,
        slot: data.slot.to_string(),
        gene_namespace: if data.genes.ensembl.is_some() { "ensembl_id" } else { "var_name" }.into(),
        n_genes: genes.len(),
        genes_sha256: hash::input_file("store", &options.out.join(GENES))?.sha256,
        category_columns: options.categories.clone(),
        categories: categories.iter().map(|c| c.entry.clone()).collect(),
        max_cells_per_category: options.max_cells,
        seed,
        pooling: "mean over the cells of a category whose tokens hold the gene".into(),
        models,
    };
    write_manifest(&options.out, &manifest)?;
    std::fs::remove_dir_all(&work)
        .map_err(|e| Error::output("cannot remove the work folder").in_file(&work).caused_by(e))?;
    Ok(ExtractReport {
        out: options.out.clone(),
        models: manifest.models.iter().map(|m| m.name.clone()).collect(),
        categories: manifest.categories.iter().map(|c| (c.name.clone(), c.n_cells)).collect(),
        n_genes: genes.len(),
        n_reused,
        seconds: begun.elapsed().as_secs_f64(),
        notes: data.notes,
    })
}

/// Every model followed by its untrained twin.
fn with_twins(subjects: Vec<Subject>, work: &Path, seed: u64) -> Result<Vec<Subject>> {
    let mut out = Vec::with_capacity(2 * subjects.len());
    for subject in subjects {
        let folder = work.join(format!("untrained-{}", stem_of(&subject.name)));
        twin::ensure(&subject.opened, seed.wrapping_add(1), &folder)?;
        let twin = Subject {
            opened: OpenModel::open(&folder)?,
            name: twin::name_of(&subject.name),
            role: Role::Control,
            twin_of: Some(subject.name.clone()),
            genes: subject.genes.clone(),
            sites: subject.sites.clone(),
        };
        out.extend([subject, twin]);
    }
    Ok(out)
}

fn common_hash(files: &[InputFile], data: &Data) -> String {
    let what = serde_json::json!({
        "microtome": VERSION,
        "data": files.iter().map(|f| &f.sha256).collect::<Vec<_>>(),
        "slot": data.slot.to_string(),
        "genes": [&data.genes.ensembl_from, &data.genes.symbols_from],
        "prepare": data.prepared(),
    });
    hash::of_bytes(what.to_string().as_bytes())
}

struct Run<'a> {
    out: &'a Path,
    data: &'a Data,
    categories: &'a [Category],
    /// Row of the table of genes per gene of the data.
    rows: &'a [Option<usize>],
    common: &'a str,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    /// All categories of one model, and how many of them were there already.
    fn extract(&self, subject: &Subject) -> Result<(gene_store::ModelEntry, usize)> {
        let gene_of_token = subject.gene_of_token();
        let row_of = |token: u32| gene_of_token.get(&token).and_then(|&gene| self.rows[gene]);
        let mut entry = subject.write_weights(self.out, &row_of)?;
        let folder = self.out.join("models").join(&entry.folder);
        let mut todo = Vec::new();
        let mut first = 0;
        for category in self.categories {
            let file = format!("{}.safetensors", stem_of(&category.entry.name));
            let inputs = subject.inputs_hash(self.common, category);
            let there = is_there(&folder.join(&file), &inputs);
            todo.push((category, file, inputs, first, there));
            first += category.cells.len();
        }
        let reused = todo.iter().filter(|t| t.4).count();
        if reused > 0 {
            let all = todo.len();
            self.progress.note(&format!("{}: {reused} of {all} categories are there already", subject.name));
        }
        let cells: usize = todo.iter().filter(|t| !t.4).map(|t| t.0.cells.len()).sum();
        self.progress.begin(&format!("genes inside {}", subject.name), cells as u64, "cells");
        for (category, file, inputs, first, there) in todo {
            let path = folder.join(&file);
            if !there {
                let means = subject.means(self.data, first, category, self.progress)?;
                gene_store::write_category(&path, &subject.sites, &means, &row_of, &inputs)?;
            }
            let written = Checkpoint::open(&path)?;
            if entry.sites.is_empty() {
                entry.sites = subject.site_entries(&written)?;
            }
            entry.categories.push(CategoryFile {
                category: category.entry.name.clone(),
                file,
                sha256: hash::input_file("store", &path)?.sha256,
                n_genes: written.info("gene").and_then(|i| i.shape.first().copied()).unwrap_or(0),
            });
        }
        self.progress.end();
        Ok((entry, reused))
    }
}

/// Whether a category was written by an equal run. Files appear whole or not at all.
fn is_there(path: &Path, inputs: &str) -> bool {
    path.is_file()
        && Checkpoint::open(path)
            .is_ok_and(|f| f.metadata().iter().any(|(k, v)| k == "inputs" && v == inputs))
}
