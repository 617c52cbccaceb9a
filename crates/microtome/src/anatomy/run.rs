//! The workflow: extraction, geometry, routing, agreement across models, report.

use std::time::Instant;

use microtome_core::{Error, Progress, Result, Role, RunCard};
use microtome_report::Page;

use super::analyse::{CategoryResult, Question};
use super::cell_view::CellQuestion;
use super::exact::{self, ExactQuestion};
use super::expression::Cells;
use super::extract::extract_into;
use super::figures::Source;
use super::grounding::Reference;
use super::options::{AnatomyOptions, AnatomyReport, ExtractOptions};
use super::parts::Parts;
use super::{page, sentences};
use crate::card::{self, VERSION};
use crate::gene_store::GeneStore;
use crate::hash;
use crate::output::{self, WORK, write_atomic};
use crate::scan::PAGE;

/// The file whose presence says that the workflow is finished.
const FINISHED: &str = "summary.json";
const RESUME: &str = "finished categories of models and finished parts of the analysis are kept: repeat the command with --resume to go on";
/// Folder of the gene store below the result folder.
const STORE: &str = "store";

/// Runs the workflow. A run that was stopped or killed goes on after the last category of a model, and after the last part of the
/// analysis, that was finished.
pub fn anatomy(options: &AnatomyOptions, progress: &dyn Progress) -> Result<AnatomyReport> {
    let to_go_on = |e: Error| if progress.stopped() { e.remedy(RESUME) } else { e };
    run(options, progress).map_err(to_go_on).map_err(output::or_make_room)
}

fn run(options: &AnatomyOptions, progress: &dyn Progress) -> Result<AnatomyReport> {
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
    let mut references = vec![];
    for path in &options.networks {
        references.push(Reference::network(path, store.genes())?);
    }
    for path in &options.gene_sets {
        references.push(Reference::sets(path, store.genes())?);
    }
    let parts = Parts { folder: work.join("parts"), inputs: inputs_of(&store, options, &ks)?, progress };
    folder(&parts.folder)?;
    let cells = Cells::open(e, &store)?;
    let memory = e.run.memory.map_or(1 << 30, |m| usize::try_from(m / 4).unwrap_or(1 << 30));

    let question = Question {
        store: &store,
        cells: &cells,
        references: &references,
        n_genes: options.n_genes,
        ks: &ks,
        choice: &options.routing,
        memory,
        rotations: options.rotations,
        seed: e.data.seed,
        parts: &parts,
        progress,
    };
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
    let few = store.manifest().categories.iter().map(|c| c.n_cells).min().unwrap_or(0);
    if few < 20 {
        notes.push(format!(
            "the smallest category has {few} cells: co-expression over so few is noisy, and a weak baseline"
        ));
    }
    let of_cells = CellQuestion {
        store: &store,
        cells: &cells,
        time: options.time.as_deref(),
        memory,
        rotations: options.rotations,
        seed: e.data.seed,
        progress,
    };
    let side = |role: Role, name: &str| parts.get(name, || of_cells.answer(role));
    let sides = (side(Role::Model, "cells-models")?, side(Role::Control, "cells-twins")?);
    let sides = match sides {
        (Some(models), Some(twins)) => Some([models, twins]),
        _ => {
            notes.push("fewer than four cells have vectors in all models: no geometry of cells".into());
            None
        }
    };

    let source = Source {
        store: &store,
        results: &results,
        cells: sides.as_ref(),
        references: &references,
        ks: &ks,
        choice: &options.routing,
        seed: e.data.seed,
    };
    let mut drawn = source.figures()?;
    let mut more_tables = source.tables()?;
    if options.exact_attention {
        let question = ExactQuestion {
            options: e,
            store: &store,
            cells: &cells,
            results: &results,
            k: source.k(),
            work: &work,
            parts: &parts,
            progress,
        };
        let found = question.attention()?;
        drawn.extend(source.exact(&found)?);
        let names: Vec<String> = results.iter().map(|r| r.category.clone()).collect();
        more_tables.extend(exact::tables(&found, &store, &names));
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
    choices.insert("routing".into(), options.routing.words().into());
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
        precision: e.run.precision.name().into(),
        choices,
    };
    let page = Page {
        title: format!("Anatomy of {} models on {}", m.models.len() / 2, m.dataset),
        command: card::shell(&e.command),
        run_card: card.clone(),
        findings: found.clone(),
        figures: drawn.into_iter().map(|d| d.figure).collect(),
        tables: page::tables(&store, &results),
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

/// Everything that decides the numbers of the analysis.
fn inputs_of(store: &GeneStore, options: &AnatomyOptions, ks: &[usize]) -> Result<String> {
    let m = store.manifest();
    let files: Vec<&str> = m
        .models
        .iter()
        .flat_map(|m| {
            let shared = [&m.static_sha256, &m.attention_sha256].into_iter().flatten();
            shared.chain(m.categories.iter().map(|c| &c.sha256)).map(String::as_str)
        })
        .collect();
    let references = options.networks.iter().chain(&options.gene_sets);
    let references = references.map(|f| Ok(hash::input_file("reference", f)?.sha256));
    let what = serde_json::json!({
        "microtome": VERSION,
        "genes": m.genes_sha256,
        "files": files,
        "data": m.inputs.iter().map(|f| &f.sha256).collect::<Vec<_>>(),
        "references": references.collect::<Result<Vec<_>>>()?,
        "n_genes": options.n_genes,
        "top": ks,
        "routing": options.routing,
        "time": options.time,
        "rotations": options.rotations,
        "seed": options.extract.data.seed,
    });
    Ok(hash::of_bytes(what.to_string().as_bytes()))
}
