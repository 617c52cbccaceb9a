//! Extraction: one pass over the cells of every category per model, all sites at once.
//!
//! A finished category of a model is a file of its own; a killed run goes on after the last of them. Memory holds the sums of one
//! category and one minibatch, whatever the number of cells.

use std::path::Path;
use std::time::Instant;

use microtome_core::{Error, InputFile, Progress, Result, Role};
use microtome_models::Precision;
use microtome_models::taps::Pooling;
use microtome_weights::Checkpoint;

use super::categories::{self, Category};
use super::options::{ExtractOptions, ExtractReport};
use super::subject::{Plan, Subject, distinct_names};
use crate::card::VERSION;
use crate::data::{Data, DataOptions};
use crate::gene_store::{
    self, CategoryFile, FORMAT, GENES, GeneList, GeneStoreManifest, MANIFEST, stem_of, write_manifest,
};
use crate::output::{self, WORK};
use crate::{drift, hash, twin};

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
    let work = options.out.join(WORK);
    let (mut plans, mut drifts) = (Vec::new(), Vec::new());
    let names = distinct_names(&options.models);
    for (path, name) in options.models.iter().zip(&names) {
        let (plan, opened) = Plan::of(path, name, &data, &options.sites, options.run)?;
        data.add_contexts(opened.model.as_ref())?;
        let largest = categories.iter().map(|c| c.cells.len()).max().unwrap_or(0);
        let subject = Subject { plan: &plan, opened, run: options.run };
        // Refused before anything is written.
        let budget = subject.budget(&data, largest)?;
        let twin = options.with_twins.then(|| work.join(format!("untrained-{}", stem_of(name))));
        if options.run.precision != Precision::F32 {
            let (opened, sites) = (&subject.opened, &plan.sites);
            let found = drift::measure(opened, &data, &plan.genes, sites, Pooling::Mean, &budget, progress)?;
            data.notes.extend(drift::sentence(options.run.precision, &found).map(|s| format!("{name}: {s}")));
            drifts.push((name.clone(), found));
        }
        if let Some(folder) = &twin {
            make_work(&options.out, &work, options.overwrite && plans.is_empty())?;
            twin::ensure(&subject.opened, seed.wrapping_add(1), folder)?;
        }
        drop(subject);
        let control = twin.map(|path| Plan {
            path,
            name: twin::name_of(name),
            role: Role::Control,
            twin_of: Some(name.clone()),
            genes: plan.genes.clone(),
            sites: plan.sites.clone(),
        });
        plans.extend([Some(plan), control].into_iter().flatten());
    }
    let known = |gene: usize| plans.iter().any(|p| p.genes.token_of_gene[gene].is_some());
    let (genes, rows) = GeneList::of_data(&data.genes, known);
    data.notes.iter().for_each(|n| progress.note(n));
    make_work(&options.out, &work, options.overwrite && !options.with_twins)?;
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
    for plan in &plans {
        let to_go_on = |e: Error| if progress.stopped() { e.remedy(RESUME) } else { e };
        let subject = plan.open(options.run)?;
        let (mut entry, reused) = run.extract(&subject).map_err(to_go_on).map_err(output::or_make_room)?;
        let found = drifts.iter().find(|(name, _)| *name == plan.name);
        entry.choices.extend(found.and_then(|(_, d)| drift::choice(options.run.precision, d)));
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

/// The folder for what is not finished, without what an earlier run left when `fresh`.
fn make_work(out: &Path, work: &Path, fresh: bool) -> Result<()> {
    output::make_folder(out, MANIFEST, fresh)?;
    std::fs::create_dir_all(work)
        .map_err(|e| Error::output("cannot make the work folder").in_file(work).caused_by(e))
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
    fn extract(&self, subject: &Subject<'_>) -> Result<(gene_store::ModelEntry, usize)> {
        let gene_of_token = subject.gene_of_token();
        let row_of = |token: u32| gene_of_token.get(&token).and_then(|&gene| self.rows[gene]);
        let mut entry = subject.write_weights(self.out, &row_of)?;
        let folder = self.out.join("models").join(&entry.folder);
        let mut todo = Vec::new();
        let mut first = 0;
        for category in self.categories {
            let file = format!("{}.safetensors", stem_of(&category.entry.name));
            let inputs = subject.inputs_hash(self.common, category);
            let there = gene_store::is_whole(&folder.join(&file), &inputs);
            todo.push((category, file, inputs, first, there));
            first += category.cells.len();
        }
        let reused = todo.iter().filter(|t| t.4).count();
        if reused > 0 {
            let all = todo.len();
            self.progress
                .note(&format!("{}: {reused} of {all} categories are there already", subject.plan.name));
        }
        let cells: usize = todo.iter().filter(|t| !t.4).map(|t| t.0.cells.len()).sum();
        self.progress.begin(&format!("genes inside {}", subject.plan.name), cells as u64, "cells");
        for (category, file, inputs, first, there) in todo {
            let path = folder.join(&file);
            if !there {
                let (means, view) = subject.look(self.data, first, category, self.progress)?;
                gene_store::write_category(&path, &subject.plan.sites, &means, &view, &row_of, &inputs)?;
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
