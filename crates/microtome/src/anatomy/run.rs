//! The workflow: extraction, geometry, routing, agreement across models, report.

use std::time::Instant;

use microtome_core::{Error, Progress, Result, RunCard};
use microtome_report::{Page, TableBlock};

use super::analyse::{CategoryResult, Question};
use super::exact;
use super::extract::extract_into;
use super::figures::Source;
use super::networks::Network;
use super::options::{AnatomyOptions, AnatomyReport, ExtractOptions};
use super::sentences;
use crate::card::{self, VERSION};
use crate::gene_store::GeneStore;
use crate::hash;
use crate::output::{self, WORK, write_atomic};
use crate::scan::PAGE;

/// The file whose presence says that the workflow is finished.
const FINISHED: &str = "summary.json";
/// Folder of the gene store below the result folder.
const STORE: &str = "store";

/// Runs the workflow.
pub fn anatomy(options: &AnatomyOptions, progress: &dyn Progress) -> Result<AnatomyReport> {
    let begun = Instant::now();
    let e = &options.extract;
    if options.ks.is_empty() || options.ks.contains(&0) {
        return Err(Error::usage("every number of strongest edges must be above 0").at_key("--top"));
    }
    let mut ks = options.ks.clone();
    ks.sort_unstable();
    ks.dedup();
    for path in options.networks.iter().chain(&options.gene_sets) {
        std::fs::File::open(path)
            .map_err(|err| Error::unreadable("cannot read the file").in_file(path).caused_by(err))?;
    }
    output::check_folder(&e.out, FINISHED, e.resume, e.overwrite)?;
    output::make_folder(&e.out, FINISHED, e.overwrite)?;
    let (work, dir) = (e.out.join(WORK), e.out.join(STORE));
    let folder = |path: &std::path::Path| {
        std::fs::create_dir_all(path)
            .map_err(|err| Error::output("cannot make the folder").in_file(path).caused_by(err))
    };
    if e.overwrite && dir.exists() {
        std::fs::remove_dir_all(&dir)
            .map_err(|err| Error::output("cannot remove the earlier store").in_file(&dir).caused_by(err))?;
    }
    folder(&work)?;
    folder(&dir)?;
    let extracted = extract_into(&ExtractOptions { out: dir.clone(), ..e.clone() }, progress)?;
    let store = GeneStore::open(&dir)?;
    let mut notes = extracted.notes.clone();
    let mut networks = vec![];
    for path in &options.networks {
        networks.push(Network::read(path, store.genes())?);
    }
    for path in &options.gene_sets {
        networks.push(Network::read_sets(path, store.genes())?);
    }

    let question = Question { store: &store, n_genes: options.n_genes, ks: &ks, progress };
    let mut results: Vec<CategoryResult> = vec![];
    for category in &store.manifest().categories {
        progress.note(&format!("looking at {}", category.name));
        match question.answer(&category.name)? {
            Ok(result) => results.push(result),
            Err(n) => {
                notes.push(format!("{}: the models share {n} genes only; it is left out", category.name))
            }
        }
    }
    if results.is_empty() {
        return Err(Error::usage("no category has enough genes that all models show")
            .in_file(&e.data.path)
            .remedy("raise --max-cells-per-category, or compare fewer models"));
    }
    for model in store.manifest().models.iter().filter(|m| m.attention.is_empty()) {
        notes.push(format!("{} has no softmax attention: geometry only", model.name));
    }
    for model in store.manifest().models.iter().filter(|m| m.attention.iter().any(|b| b.soft_cap.is_some())) {
        notes.push(format!("{} caps its scores: its routing is left out", model.name));
    }

    let source = Source { store: &store, results: &results, ks: &ks, seed: e.data.seed };
    let mut drawn = source.figures()?;
    drawn.extend(source.grounding(&networks)?);
    let mut more_tables = vec![];
    if options.exact_attention {
        let k = ks[ks.len() / 2];
        let found = exact::attention(e, &store, &results, k, &work, progress)?;
        drawn.extend(source.exact(&found)?);
        let names: Vec<String> = results.iter().map(|r| r.category.clone()).collect();
        more_tables = exact::tables(&found, &store, &names);
    }
    let tables = e.out.join("tables");
    folder(&tables)?;
    for (file, text) in drawn.iter().map(|d| &d.table).chain(&more_tables) {
        write_atomic(&tables.join(file), text.as_bytes())?;
    }
    let found = sentences::of(&source)?;
    let m = store.manifest();
    let mut choices = serde_json::Map::new();
    choices.insert("category_columns".into(), m.category_columns.clone().into());
    choices.insert("max_cells_per_category".into(), m.max_cells_per_category.into());
    choices.insert("n_genes".into(), options.n_genes.into());
    choices.insert("top".into(), ks.clone().into());
    choices.insert(
        "routing".into(),
        "attention of the mean stream: biases, norms, softmax per head over the shared genes".into(),
    );
    for model in &m.models {
        choices.insert(model.name.clone(), model.choices.clone().into());
    }
    let references = options.networks.iter().chain(&options.gene_sets);
    let references = references.map(|f| hash::input_file("reference", f)).collect::<Result<Vec<_>>>()?;
    let card = RunCard {
        microtome: VERSION.into(),
        command: e.command.clone(),
        inputs: m
            .inputs
            .iter()
            .chain(m.models.iter().flat_map(|m| &m.inputs))
            .cloned()
            .chain(references)
            .collect(),
        seed: e.data.seed,
        precision: "f32".into(),
        choices,
    };
    let page = Page {
        title: format!("Anatomy of {} models on {}", m.models.len() / 2, m.dataset),
        command: card::shell(&e.command),
        run_card: card.clone(),
        findings: found.clone(),
        figures: drawn.into_iter().map(|d| d.figure).collect(),
        tables: vec![categories_table(&store, &results), models_table(&store)],
        warnings: notes.clone(),
        ..Page::default()
    };
    let json = |err: serde_json::Error| Error::output("cannot write JSON").in_file(&e.out).caused_by(err);
    write_atomic(&e.out.join("run_card.json"), &serde_json::to_vec_pretty(&card).map_err(json)?)?;
    write_atomic(&e.out.join(PAGE), &serde_json::to_vec(&page).map_err(json)?)?;
    write_atomic(&e.out.join("report.html"), microtome_report::html(&page).as_bytes())?;
    let report = AnatomyReport {
        out: e.out.clone(),
        report: e.out.join("report.html"),
        store: dir,
        models: m.models.iter().map(|m| m.name.clone()).collect(),
        categories: results.iter().map(|r| (r.category.clone(), r.genes.len())).collect(),
        sentences: found,
        notes,
        seconds: begun.elapsed().as_secs_f64(),
    };
    write_atomic(&e.out.join(FINISHED), &serde_json::to_vec_pretty(&report).map_err(json)?)?;
    std::fs::remove_dir_all(&work)
        .map_err(|err| Error::output("cannot remove the work folder").in_file(&work).caused_by(err))?;
    Ok(report)
}

fn categories_table(store: &GeneStore, results: &[CategoryResult]) -> TableBlock {
    let of = |name: &str| results.iter().find(|r| r.category == name).map(|r| r.genes.len());
    TableBlock {
        task: String::new(),
        title: "Categories".into(),
        note: "Cells drawn and averaged per category, and the genes over which all models are compared."
            .into(),
        header: ["category", "cells averaged", "cells in the data", "genes compared"]
            .map(String::from)
            .into(),
        rows: store
            .manifest()
            .categories
            .iter()
            .map(|c| {
                let genes = of(&c.name).map_or("left out".into(), |n| n.to_string());
                vec![c.name.clone(), c.n_cells.to_string(), c.n_available.to_string(), genes]
            })
            .collect(),
    }
}

fn models_table(store: &GeneStore) -> TableBlock {
    TableBlock {
        task: String::new(),
        title: "Models".into(),
        note: "The untrained twin has the same shape and vocabulary and random weights.".into(),
        header: ["model", "family", "blocks", "width", "heads", "norm", "attention weights"]
            .map(String::from)
            .into(),
        rows: store
            .manifest()
            .models
            .iter()
            .map(|m| {
                vec![
                    m.name.clone(),
                    m.family.clone(),
                    m.n_blocks.to_string(),
                    m.d_model.to_string(),
                    m.n_heads.to_string(),
                    m.norm_placement.clone(),
                    if m.attention.is_empty() { "none" } else { "yes" }.into(),
                ]
            })
            .collect(),
    }
}
